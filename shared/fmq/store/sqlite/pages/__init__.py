"""What pages read: messages, services, minutes and actions."""
