"""Hypothesis without deadlines: the first call of a test may import transformers or load an atlas."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
