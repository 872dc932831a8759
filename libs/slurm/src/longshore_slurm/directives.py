"""`#SBATCH` lines of a batch script: options that stand before its first command. Pure."""

import shlex
from collections.abc import Iterator

from longshore_common.errors import BadInput


def words(script: str) -> list[str]:
    """The words of all its directives, in their order."""
    return [word for line in _lines(script) for word in _split(line)]


def _lines(script: str) -> Iterator[str]:
    for line in script.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            return
        if line.startswith("#SBATCH"):
            yield line.removeprefix("#SBATCH")


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError as err:
        raise BadInput(f"#SBATCH{line}: {err}") from err
