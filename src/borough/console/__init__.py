"""The web pages about a running system: `/system` shows what it is made of and what it does now."""
