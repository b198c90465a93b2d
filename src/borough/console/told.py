"""Where a replica tells the door of its fleet what the console shows: paths of its internal listener."""

__all__ = ["EVENTS", "FACTS", "STATE"]

FACTS = "/borough/system/facts.json"
STATE = "/borough/system/state.json"
EVENTS = "/borough/system/events.json"
