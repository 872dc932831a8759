"""`python -m longshore_agent` is the `longshore-agent` command."""

from longshore_agent.cli import run

run()
