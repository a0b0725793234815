"""The file itself: where it may lie, who else touches it, copies of it."""
