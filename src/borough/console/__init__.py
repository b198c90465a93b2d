"""The web pages about a running system: `/system` shows what it is made of and what it does now."""

from borough.console.many_processes import fleet_mounts
from borough.console.one_process import mounts, tells

__all__ = ["fleet_mounts", "mounts", "tells"]
