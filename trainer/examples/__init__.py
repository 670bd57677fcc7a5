"""Other people's loops, recorded, in forty lines each. They are run as tests."""
