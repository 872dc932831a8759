"""Where all commands begin: words in, an exit code out, errors in Slurm's manner on stderr. Imports only what is called."""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from longshore_slurm import VERSION

if TYPE_CHECKING:
    from longshore_slurm.options import Read

#: Each command and the module whose `run(words, environ)` it is.
COMMANDS: Final = {
    "sbatch": "sbatch", "squeue": "squeue", "scancel": "scancel", "sacct": "sacct", "scontrol": "scontrol",
    "sinfo": "sinfo", "srun": "srun", "sacctmgr": "sacctmgr",
}  # fmt: skip
_VERSION: Final = (["--version"], ["-V"])


def run(program: str, words: list[str] | None = None) -> int:
    """Run one command of this process: 0 done, 1 refused or failed, and a job's own code where one is waited for."""
    words = sys.argv[1:] if words is None else words
    if words in _VERSION:
        print(VERSION)
        return 0
    from longshore_common.errors import LongshoreError

    try:
        code = _called(program, words)
        sys.stdout.flush()
    except LongshoreError as err:
        print(f"{program}: error: {' '.join(str(err).split())}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _called(program: str, words: list[str]) -> int:
    from longshore_common.errors import BadInput

    if program not in COMMANDS:
        raise BadInput(f"there is no {program} here; there are {', '.join(COMMANDS)}")
    module = import_module(f"longshore_slurm.{COMMANDS[program]}")
    return int(module.run(words, dict(os.environ)))


def told(program: str, text: str) -> None:
    """One line on stderr."""
    print(f"{program}: {text}", file=sys.stderr)


def helped(options: "Read", usage: str) -> bool:
    """Warn of options that nobody knows; whether help was asked for, and given."""
    from longshore_slurm.options import joined

    if options.unknown:
        told(usage.split()[0], f"warning: {joined(options.unknown)} unknown here")
    if asked := options.has("help") or options.has("usage"):
        print(f"Usage: {usage}: see docs/manual/slurm.md")
    return asked


if __name__ == "__main__":
    sys.exit(run(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]))
