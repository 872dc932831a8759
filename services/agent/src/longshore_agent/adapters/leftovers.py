"""Finds and kills processes of attempts whose spawner died: by what their own environment says, in /proc.

What must not enter: which attempts those are.
"""

import contextlib
import os
import signal
from collections.abc import Collection


def kill(worker: str, attempts: Collection[str]) -> int:
    """SIGKILL every process of these attempts of this worker, with its group; how many processes there were.

    A process is known by LONGSHORE_WORKER and LONGSHORE_ATTEMPT in its environment, so a reused pid is never hit.
    """
    wanted = {f"LONGSHORE_ATTEMPT={a}".encode() for a in attempts}
    mine = f"LONGSHORE_WORKER={worker}".encode()
    found = 0
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = set(file.read().split(b"\0"))
        except OSError:
            continue  # gone, a kernel thread, or not ours
        if mine not in variables or wanted.isdisjoint(variables) or pid == os.getpid():
            continue
        found += 1
        with contextlib.suppress(OSError):
            if os.getpgid(pid) != os.getpgrp():
                os.killpg(os.getpgid(pid), signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return found
