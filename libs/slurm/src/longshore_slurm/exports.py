"""Which variables a job gets from where it was submitted: `--export`, and those that name the submission. Pure."""

import re
from collections.abc import Mapping
from typing import Final

#: Not handed on: a job's own come from its worker, a shell's from the shell.
_OWN: Final = re.compile(
    r"(SLURM|SLURMD|SBATCH|SALLOC|SRUN)_.*|LONGSHORE_(TASK|ATTEMPT|SUBMISSION|BATCH|WORKER|INDEX|ENTRY|GPUS|CPUS)"
    r"|_|SHLVL|OLDPWD|PWD|INPUT|OUTPUT|TEMP|RESOURCE|CPU|THREADS|MEM"
)
_SECRET: Final = re.compile(
    r".*(SECRET|TOKEN|PASSW(OR)?D|PASSPHRASE|CREDENTIAL|PRIVATE_KEY|API_?KEY|ACCESS_KEY).*", re.IGNORECASE
)
#: Characters a variable may have, as the dispatcher checks it.
LONGEST: Final = 32_000


def exported(export: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that `--export` means: ALL (the default), NONE, NAME, NAME=VALUE, with commas between."""
    words = _words(export or "ALL")
    found: dict[str, str] = {}
    if any(word.upper() == "ALL" for word in words):
        found = {name: value for name, value in environ.items() if not _OWN.fullmatch(name)}
    for word in words:
        name, equals, value = word.partition("=")
        if word.upper() in ("ALL", "NONE", "NIL") or not name:
            continue
        if equals:
            found[name] = value
        elif name in environ:
            found[name] = environ[name]
    return found


def _words(text: str) -> list[str]:
    """Commas part, but not within quotes."""
    return [piece.replace("'", "").replace('"', "") for piece in re.findall(r"(?:'[^']*'|\"[^\"]*\"|[^,])+", text)]


def parted(variables: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(those that may stand in the log, those that may not: what looks like a credential, or is too long for it)"""
    open_, closed = dict[str, str](), dict[str, str]()
    for name, value in variables.items():
        hidden = _SECRET.fullmatch(name) is not None or len(value) > LONGEST or not _text(name + value)
        (closed if hidden else open_)[name] = value
    return open_, closed


def _text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
