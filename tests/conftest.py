"""What holds for every test."""

from hypothesis import settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("fmq", deadline=None)
settings.load_profile("fmq")
