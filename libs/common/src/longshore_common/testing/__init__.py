"""Tools for tests only: given-when-then, strategies, contract suites."""
