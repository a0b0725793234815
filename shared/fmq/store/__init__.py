"""The store of queues: its roles, its options and the backends."""
