"""Claims and settlements."""
