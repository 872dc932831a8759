"""What the spawner does to processes beyond starting plain ones: control groups, other users, CPUs, limits, the end of a tree.

Loaded into the spawner, so the same holds as there: only built-in and tiny modules may enter.
"""

from __future__ import annotations

import marshal
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = tuple[Any, ...]
    More = dict[str, Any]

FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND  # opened in the child, to stay open: no O_CLOEXEC
DEFAULT = [signal.SIGPIPE, signal.SIGXFSZ]  # Python ignores these; a task must not


def killpg(group: int, number: int) -> None:
    """Signal a group if it is still there."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def freeze(groups: list[str], *, frozen: bool) -> bool:
    """Freeze or thaw control groups, of either version; whether there is one that can."""
    done = False
    for group in groups:
        done |= tell(f"{group}/cgroup.freeze", "1" if frozen else "0")
        done |= tell(f"{group}/freezer.state", "FROZEN" if frozen else "THAWED")
    return done


def empty(group: str) -> None:
    """SIGKILL to every process of a control group, until no new ones appear."""
    met: set[int] = set()
    tell(f"{group}/cgroup.kill", "1")
    while True:
        try:
            with open(f"{group}/cgroup.procs", "rb") as file:
                fresh = {int(line) for line in file} - met
        except OSError:
            return
        if not fresh:
            return
        met |= fresh
        for pid in fresh:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue


def tell(path: str, text: str) -> bool:
    """Write to a file of the kernel, if it is there."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def forked(program: str, request: Message, more: More) -> int:
    """Start by fork, where more is asked than posix_spawn can do: another user, control groups, CPUs, limits.

    All of it is in force before the program's first instruction; what fails is an `OSError`, as elsewhere.
    """
    if more.get("limits"):
        import resource  # noqa: F401  here, not between fork and exec
    user = _user(request[6], request[7])
    told, tell = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            _become(program, request, user, more)
        except OSError as problem:
            os.write(tell, marshal.dumps((problem.errno or 0, problem.strerror or ""), 2))
        finally:
            os._exit(127)
    os.close(tell)
    try:
        words = os.read(told, 4096)
    finally:
        os.close(told)
    if words:
        os.waitpid(pid, 0)
        raise OSError(*marshal.loads(words))
    return pid


def _user(uid: int | None, gid: int | None) -> tuple[int | None, int | None]:
    """A user without a group gets his own, never the spawner's."""
    if uid is None or gid is not None:
        return uid, gid
    import pwd

    return uid, next((entry.pw_gid for entry in pwd.getpwall() if entry.pw_uid == uid), uid)


def _become(program: str, request: Message, user: tuple[int | None, int | None], more: More) -> None:
    """In the child: what the task shall be, and then the task. Returns never but by an error."""
    _, argv, env, _, out, err = request[:6]
    os.setsid()
    for ignored in DEFAULT:
        signal.signal(ignored, signal.SIG_DFL)
    _confine(more)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, FLAGS, 0o644), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    uid, gid = user
    if (uid is not None or gid is not None) and not os.geteuid():  # others may only be who they are
        os.setgroups([])
    if gid is not None:
        os.setgid(gid)
    if uid is not None:
        os.setuid(uid)
    os.execve(program, argv, env)


def _confine(more: More) -> None:
    """Control groups, CPUs and limits, while we still may."""
    for group in more.get("groups", ()):
        with open(f"{group}/cgroup.procs", "wb", buffering=0) as file:
            file.write(b"0")
    if more.get("cpus"):
        os.sched_setaffinity(0, more["cpus"])
    for which, most in more.get("limits", ()):
        import resource

        resource.setrlimit(which, (most, most))
