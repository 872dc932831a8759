"""The `longshore-agent` command: parse, call, print.

For units and the embedded stack: typer would double the memory of a resting agent, so it is not used.
`spawner` becomes the spawner without importing anything else.
"""

import os
import sys

USAGE = """usage: longshore-agent run | spawner | doctor | debug

run      work as this host's agent: LONGSHORE_WORKER, LONGSHORE_WORKER_DIR, LONGSHORE_API_URL, LONGSHORE_JOIN_SECRET_FILE,
         LONGSHORE_CONCURRENCY, LONGSHORE_PREFETCH, LONGSHORE_BATCH, LONGSHORE_SPAWNER_SOCKET, NATS_URL, NATS_CREDS
spawner  start and watch processes for an agent: LONGSHORE_SPAWNER_SOCKET
doctor   look at everything an agent needs here, with the settings of `run`; exit code 1 if it could not work: [--json]
debug    run one task by hand, as `longshore task debug` asks: FILE [--kept] [--shell] [--directory DIR] [-- COMMAND...]
"""


def run() -> None:
    """Entry point of the command."""
    match sys.argv[1:]:
        case ["spawner"]:
            script = os.path.join(os.path.dirname(__file__), "adapters", "spawner_main.py")
            os.execv(sys.executable, [sys.executable, "-I", "-S", script])
        case ["run"]:
            _agent()
        case ["doctor"] | ["doctor", "--json"]:
            _doctor(as_json="--json" in sys.argv)
        case ["debug", *words]:
            _debug(words)
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
        again = asyncio.run(service.run(settings.load(Settings, os.environ).value))
    except LongshoreError as err:
        sys.stderr.write(f"longshore-agent: {err}\n")
        raise SystemExit(err.exit_code) from err
    if again:  # the program that is installed now, as this process: whoever supervises it notices nothing
        os.execv(sys.executable, sys.orig_argv)


def _doctor(*, as_json: bool) -> None:
    import asyncio

    import msgspec

    from longshore_agent.service import doctor
    from longshore_agent.service.settings import Settings
    from longshore_common import settings
    from longshore_common.errors import LongshoreError

    try:
        checks = asyncio.run(doctor.examine(settings.load(Settings, os.environ).value, os.environ))
    except LongshoreError as err:
        sys.stderr.write(f"longshore-agent: {err}\n")
        raise SystemExit(err.exit_code) from err
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(checks)).decode() + "\n")
    else:
        sys.stdout.write(doctor.text(checks))
    if doctor.broken(checks):
        raise SystemExit(1)


def _debug(words: list[str]) -> None:
    import argparse

    import msgspec

    from longshore_agent.service.debugging import Case, Wish, debug
    from longshore_common.damage import DAMAGED
    from longshore_common.errors import LongshoreError

    parser = argparse.ArgumentParser("longshore-agent debug")
    parser.add_argument("file")
    parser.add_argument("--kept", action="store_true")
    parser.add_argument("--shell", action="store_true")
    parser.add_argument("--directory", default="")
    cut = words.index("--") if "--" in words else len(words)
    own, command = words[:cut], words[cut + 1 :]
    given = parser.parse_args(own)
    try:
        with open(given.file, "rb") as file:
            case = msgspec.json.decode(file.read(), type=Case)
        raise SystemExit(debug(case, Wish(given.kept, given.shell, given.directory, tuple(command))))
    except (LongshoreError, OSError, *DAMAGED) as err:
        sys.stderr.write(f"longshore-agent: {err}\n")
        raise SystemExit(getattr(err, "exit_code", 1)) from err
