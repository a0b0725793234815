"""`fmq init`: writes a project for handlers of one's own."""
