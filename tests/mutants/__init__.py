"""Rules of the core, broken one at a time: the tests must notice each. See `__main__`."""
