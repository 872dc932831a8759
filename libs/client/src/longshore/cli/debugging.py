"""Hands one task to `longshore-agent debug`, which knows how tasks are staged and run.

What must not enter: staging, running.
"""

import os
import shutil
import sys
from pathlib import Path

from longshore_common.errors import Refused


def debugged(spec: bytes, *, kept: bool, shell: bool, directory: str, command: list[str]) -> int:
    """Become the agent's program, with the spec in a file that has no name. Returns only by raising `Refused`."""
    beside = Path(sys.executable).parent / "longshore-agent"
    program = str(beside) if beside.exists() else shutil.which("longshore-agent")
    if program is None:
        raise Refused("this needs the agent's program on this computer: pip install longshore-agent")
    fd = os.memfd_create("task")
    os.write(fd, spec)
    os.lseek(fd, 0, os.SEEK_SET)
    os.set_inheritable(fd, True)  # noqa: FBT003 -- the standard library's signature
    words = ["debug", f"/proc/self/fd/{fd}"]
    words += ["--kept"] * kept + ["--shell"] * shell + (["--directory", directory] if directory else [])
    os.execv(program, [program, *words, "--", *command])
