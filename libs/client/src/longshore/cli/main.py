"""Entry of the `longshore` command: finds the module of the word that was typed and imports no other.

What must not enter: imports at the top; `longshore --version` is to cost what Python costs.
"""

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from longshore.cli.words import Command, Noun

#: First word -> the module in this package that has it.
MODULES: Final = {
    "up": "stack", "down": "stack", "status": "stack",
    "submit": "submit", "flush": "submit",
    "task": "task", "batch": "batch", "worker": "worker",
    "explain": "ask", "history": "ask", "wait": "ask",
    "db": "admin", "config": "admin", "completion": "completion",
}  # fmt: skip


def run() -> int:
    """Run the command of this process and return its exit code: 0 done, 1 refused or failed, 2 misuse, 3 unreachable."""
    words = sys.argv[1:]
    if words in (["--version"], ["-V"]):
        from longshore import __version__

        print(f"longshore {__version__}")
        return 0
    code = _run(words)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere()
    return code


def _run(words: list[str]) -> int:
    from longshore_common.errors import LongshoreError

    try:
        return _called(words)
    except LongshoreError as err:
        return told(str(err), err.exit_code)
    except KeyboardInterrupt:
        return told("stopped looking; what was submitted goes on", 130)
    except TimeoutError as err:
        return told(str(err) or "the time is up; what was submitted goes on", 1)
    except BrokenPipeError:
        _to_nowhere()
        return 0


def _to_nowhere() -> None:
    """The reader of our output had enough, such as `| head`: no failure of ours, and nothing to say at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _called(words: list[str]) -> int:
    from longshore.cli.words import Command
    from longshore_common.errors import BadInput

    if not words or words[0] in ("-h", "--help", "help"):
        return _told_all()
    name, rest = words[0], words[1:]
    if name not in MODULES:
        raise BadInput(f"there is no command {name!r}. Try `longshore --help`.")
    found = commands(name)
    if isinstance(found, Command):
        return found.call(rest, f"longshore {name}")
    if not rest or rest[0] in ("-h", "--help"):
        return _told_noun(name, found)
    if rest[0] not in found.commands:
        raise BadInput(f"`longshore {name}` has no {rest[0]!r}; it has {', '.join(found.commands)}")
    return found.commands[rest[0]].call(rest[1:], f"longshore {name} {rest[0]}")


def commands(name: str) -> "Command | Noun":
    """What a first word stands for; imports its module."""
    from importlib import import_module

    found: Command | Noun = import_module(f"longshore.cli.{MODULES[name]}").COMMANDS[name]
    return found


def _told_all() -> int:
    print("longshore COMMAND …: submit commands, follow them, and look after the machines that run them.\n")
    for name in MODULES:
        print(f"  {name:<11} {commands(name).summary}")
    print("\n`longshore COMMAND --help` tells its options; `longshore --version` the version.")
    return 0


def _told_noun(name: str, noun: "Noun") -> int:
    print(f"longshore {name} …: {noun.summary}\n")
    for word, command in noun.commands.items():
        print(f"  {word:<8} {command.summary}")
    print(f"\n`longshore {name} COMMAND --help` tells its options.")
    return 0


def told(text: str, code: int) -> int:
    """Print one line on stderr and return the code."""
    print(f"longshore: {' '.join(text.split())}", file=sys.stderr)
    return code
