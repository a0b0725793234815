"""Which filters the broker has granted, and which of them are to go."""
