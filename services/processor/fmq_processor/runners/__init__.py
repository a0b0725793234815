"""Where handlers run: in threads or in an event loop."""
