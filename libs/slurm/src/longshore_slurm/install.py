"""The commands as programs in a directory of the user's choice: nothing of a real Slurm is ever shadowed unasked."""

import sys
from pathlib import Path
from typing import Final

from longshore_common.errors import Refused
from longshore_slurm.main import COMMANDS

#: By which a program is known to be one of ours.
_MARK: Final = "# a command of Slurm upon Longshore; written by `longshore slurm-shim install`"
_TEXT: Final = """#!{python} -Es
{mark}
import sys

from longshore_slurm.main import run

sys.exit(run("{name}"))
"""


def install(directory: Path) -> list[Path]:
    """Write the programs; `Refused` if one of the names is taken there by another's. A repeat writes them anew."""
    files = [directory / name for name in COMMANDS]
    for file in files:
        if file.exists() and not _ours(file):
            raise Refused(f"{file} is there and is none of ours: choose a directory of its own")
    directory.mkdir(parents=True, exist_ok=True)
    for file in files:
        part = file.with_name(f".{file.name}.part")
        part.write_text(_TEXT.format(python=_python(), mark=_MARK, name=file.name))
        part.chmod(0o755)
        part.replace(file)
    return files


def remove(directory: Path) -> list[Path]:
    """Remove our programs from there, and nothing else."""
    gone = [file for name in COMMANDS if _ours(file := directory / name)]
    for file in gone:
        file.unlink()
    return gone


def _ours(file: Path) -> bool:
    try:
        return _MARK in file.read_text(errors="replace")[:400]
    except OSError:
        return False


def _python() -> str:
    """This interpreter; a path with a space in it cannot stand behind #!."""
    if " " in sys.executable or len(sys.executable) > 120:
        raise Refused(
            f"{sys.executable} cannot begin a program: install Longshore where the path is short and has no spaces"
        )
    return sys.executable
