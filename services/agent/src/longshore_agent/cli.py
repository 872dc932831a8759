"""The `longshore-agent` command: parse, call, print.

Two commands without options, for units and the embedded stack: typer would double the memory of a resting agent, so it is
not used. `spawner` becomes the spawner without importing anything else.
"""

import os
import sys

USAGE = """usage: longshore-agent run | spawner

run      work as this host's agent: LONGSHORE_WORKER, LONGSHORE_WORKER_DIR, LONGSHORE_API_URL, LONGSHORE_JOIN_SECRET_FILE,
         LONGSHORE_CONCURRENCY, LONGSHORE_PREFETCH, LONGSHORE_BATCH, LONGSHORE_SPAWNER_SOCKET, NATS_URL, NATS_CREDS
spawner  start and watch processes for an agent: LONGSHORE_SPAWNER_SOCKET
"""


def run() -> None:
    """Entry point of the command."""
    match sys.argv[1:]:
        case ["spawner"]:
            script = os.path.join(os.path.dirname(__file__), "adapters", "spawner_main.py")
            os.execv(sys.executable, [sys.executable, "-I", "-S", script])
        case ["run"]:
            _agent()
        case ["--help" | "-h"]:
            sys.stdout.write(USAGE)
        case _:
            sys.stderr.write(USAGE)
            raise SystemExit(2)


def _agent() -> None:
    import asyncio

    from longshore_agent import service
    from longshore_agent.service.settings import Settings
    from longshore_common import logs, settings
    from longshore_common.errors import LongshoreError

    logs.configure("agent")
    try:
        asyncio.run(service.run(settings.load(Settings, os.environ).value))
    except LongshoreError as err:
        sys.stderr.write(f"longshore-agent: {err}\n")
        raise SystemExit(err.exit_code) from err
