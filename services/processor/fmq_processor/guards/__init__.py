"""What keeps a fault small: circuit breaker, dead-letter limit, pauses, the store gate."""
