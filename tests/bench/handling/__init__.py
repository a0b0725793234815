"""What handlers that do real work cost, next to the plainest program that does the same."""
