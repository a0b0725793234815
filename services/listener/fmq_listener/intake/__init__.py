"""From a batch of messages to a commit and its acknowledgement."""
