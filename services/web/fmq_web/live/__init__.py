"""Live figures: one sampler, and a stream to each open page."""
