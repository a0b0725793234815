"""Makes the alert rules and dashboards of fmq from one file of parameters."""
