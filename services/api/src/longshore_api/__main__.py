"""`python -m longshore_api`: the same as the command `longshore-api`."""

from longshore_api.cli import run

run()
