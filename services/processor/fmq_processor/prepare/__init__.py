"""What happens to a message before its handler gets it: decoding and filtering."""
