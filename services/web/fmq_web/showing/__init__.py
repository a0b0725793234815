"""Shows bytes and text that anyone may have sent, without harm."""
