"""Where a replica tells the door of its fleet what alerts are judged by: a path of its internal listener."""

__all__ = ["ALERTS"]

ALERTS = "/borough/system/alerts.json"
