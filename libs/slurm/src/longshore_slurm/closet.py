"""Variables that must not stand in the log, kept in a file of their user's alone on the shared file system.

What looks like a credential would be read there by everybody who may read tasks. A job's wrapper takes them in from the
file. The same variables are the same file, so that files grow with their kinds, not with jobs.
"""

import hmac
import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from longshore import chance

#: Seconds after which a file that no submission named any more goes.
KEPT: Final = 90 * 86400


def directory(environ: Mapping[str, str]) -> Path:
    """`LONGSHORE_SLURM_HOME`, else ~/.longshore/slurm: a place that workers reach under the same name."""
    return Path(environ.get("LONGSHORE_SLURM_HOME") or Path(environ.get("HOME", "/")) / ".longshore/slurm")


def put(variables: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """The file that sets these variables, made if it is not there; "" for no variables."""
    lines = [
        f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()) if name.isidentifier()
    ]
    if not lines:
        return ""
    home = directory(environ)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = os.fsencode("".join(lines))
    file = home / f"env-{hmac.new(_salt(home), text, 'sha256').hexdigest()[:32]}.sh"
    if file.exists():
        os.utime(file)
        return str(file)
    _write(file, text)
    _prune(home)
    return str(file)


def _salt(home: Path) -> bytes:
    """What makes the files' names tell nothing of what is in them."""
    file = home / "salt"
    if not file.exists():
        _write(file, chance.new_key().encode())
    return file.read_bytes()


def _write(file: Path, data: bytes) -> None:
    part = file.with_suffix(f".{os.getpid()}")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
    part.replace(file)


def _prune(home: Path) -> None:
    now = time.time()  # noqa: TID251 -- against times of files, which are of this clock
    for old in home.glob("env-*.sh"):
        try:
            if now - old.stat().st_mtime > KEPT:
                old.unlink()
        except OSError:
            continue  # another command was faster
