"""Alerts: looks at a running system by the rules that are declared, and tells the team whose service it is."""
