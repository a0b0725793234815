"""Where a request comes from: its peer and proxies, its host and origin, and who its caller is."""
