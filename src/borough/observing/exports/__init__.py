"""What is watched here, as other tools watch it: rules and routes of Prometheus, a dashboard of Grafana."""
