"""Who may see and do what: users, tokens, sessions, sign-in."""
