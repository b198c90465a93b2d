"""The web pages about a running system: `/system` shows what it is made of and what it does now."""

from borough.console.system_page import mounts

__all__ = ["mounts"]
