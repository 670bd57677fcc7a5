"""What holds for every test: Hypothesis measures no time on noisy cores, and prints how to repeat a failure."""

from hypothesis import settings

settings.register_profile("everywhere", deadline=None, print_blob=True)
settings.load_profile("everywhere")
