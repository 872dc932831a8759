"""Runs the commands of one plan after the other: the one process that the spawner starts for a task of bare steps.

Started as a program, without site packages: it must import little and nothing of ours. It keeps the agent's user, who alone
may be able to read it, and touches nothing of the task's but as the task's user. A signal to the group is each command's own
business; after one that asks to stop no other command begins. How each ended is a line in a file. What must not enter:
limits (they are the group's), where results go.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from time import time  # noqa: TID251  a program of its own, without ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PIECE = 1 << 20
#: What a shell says of a program that is not there, or cannot be started.
_NOT_FOUND, _NOT_STARTED = 127, 126


class Runner:
    """One plan. `stopped`: nothing more begins."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.stopped = False
        asks = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, plan["stop_signal"]}
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT}:
            handler = self._stop if number in asks else self._pass
            signal.signal(number, handler)

    def run(self) -> int:
        """The exit code of all of it."""
        code = 0
        for number, step in enumerate(self.plan["steps"], 1):
            begun, before = time(), self._sizes()
            status, used = self._one(number, step)
            said = [now - then for now, then in zip(self._sizes(), before)]  # noqa: B905  two each
            code = status >> 8 if status & 0x7F == 0 else 128 + (status & 0x7F)
            self._tell([code, begun, max(begun, time()), *said, used[0], used[1]])
            self._keep(step, before)
            if self.stopped:
                return code or 128 + signal.SIGTERM
            if code and not step["ignore_error"]:
                return code
            code = 0
        return code

    def _stop(self, *_: object) -> None:
        self.stopped = True

    def _pass(self, *_: object) -> None:
        """The command got it as well."""

    def _one(self, number: int, step: dict[str, Any]) -> tuple[int, tuple[int, float]]:
        """Start a command and wait for its end: its status, its peak memory in bytes and CPU seconds."""
        pid = os.fork()
        if pid == 0:
            self._become(number, step)
        _, status, used = os.wait4(pid, 0)
        return status, (used.ru_maxrss * 1024, used.ru_utime + used.ru_stime)

    def _become(self, number: int, step: dict[str, Any]) -> None:
        """In the child: the command, or why it cannot be."""
        code = _NOT_STARTED
        try:
            for handled in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                if signal.getsignal(handled) not in (signal.SIG_DFL, None):
                    signal.signal(handled, signal.SIG_DFL)
            self._drop()
            if step["workdir"]:
                os.makedirs(step["workdir"], exist_ok=True)
                os.chdir(step["workdir"])
            if step["stdin"]:
                os.dup2(os.open(step["stdin"], os.O_RDONLY), 0)
            env = {**os.environ, **step["env"], "LONGSHORE_STEP": str(number)}
            _start(step["command"], env)
        except FileNotFoundError as err:
            code = _NOT_FOUND
            self._complain(number, err)
        except (OSError, ValueError) as err:
            self._complain(number, err)
        finally:
            os._exit(code)

    def _complain(self, number: int, err: Exception) -> None:
        os.write(2, f"longshore: step {number} cannot start: {err}\n".encode(errors="replace"))

    def _sizes(self) -> list[int]:
        return [os.fstat(stream).st_size for stream in (1, 2)]

    def _tell(self, line: list[Any]) -> None:
        with open(self.plan["ended"], "a") as file:
            file.write(json.dumps(line) + "\n")

    def _drop(self) -> None:
        """Be the task's user from here on."""
        uid, gid = self.plan["user"]
        if (uid is not None or gid is not None) and not os.geteuid():  # others may only be who they are
            os.setgroups([])
        if gid is not None:
            os.setgid(gid)
        if uid is not None:
            os.setuid(uid)

    def _keep(self, step: dict[str, Any], before: list[int]) -> None:
        """What it said, in the files that it names as well."""
        if not (step["stdout"] or step["stderr"]):
            return
        pid = os.fork()
        if pid == 0:
            try:
                self._drop()
                self._copy(step, before)
            except OSError as err:
                os.write(2, f"longshore: what a step said cannot be kept: {err}\n".encode(errors="replace"))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

    def _copy(self, step: dict[str, Any], before: list[int]) -> None:
        for source, begin, path in zip(self.plan["said"], before, (step["stdout"], step["stderr"])):  # noqa: B905
            if path:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(source, "rb") as src, open(path, "wb") as dst:
                    src.seek(begin)
                    while piece := src.read(_PIECE):
                        dst.write(piece)


def _start(command: list[str], env: dict[str, str]) -> None:
    """Become the program, found by the command's own PATH. `OSError`. Nothing is imported here: the user may not read that."""
    name = command[0]
    problem: OSError = FileNotFoundError(2, "not found", name)
    folders = [""] if "/" in name else [f"{f or '.'}/" for f in env.get("PATH", os.defpath).split(":")]
    for folder in folders:
        try:
            os.execve(folder + name, command, env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as err:
            if os.access(folder + name, os.F_OK):  # else it is the folder that is closed
                problem = err
    raise problem


if __name__ == "__main__":
    with open(sys.argv[1]) as _file:
        _runner = Runner(json.load(_file))
    sys.exit(_runner.run())
