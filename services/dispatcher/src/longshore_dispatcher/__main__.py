"""`python -m longshore_dispatcher`."""

from longshore_dispatcher.cli import run

run()
