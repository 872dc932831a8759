"""The spawner: one tiny long-lived process per host that starts, waits, and records how processes ended; nothing else.

It outlives agents. Its own memory is the floor of every child's measured peak and its start is on the way of a host's
first task, so only built-in and tiny modules may enter: no msgspec, typer, asyncio, json, logging. Frames on the
socket are a length (4 bytes, big endian) and a marshal (version 2) of a list of tuples; `adapters.spawner` lists them.
"""

from __future__ import annotations

import errno
import marshal
import os
import select
import signal
import socket
import sys
from collections import deque
from time import gmtime, monotonic, strftime, time  # noqa: TID251  the spawner is its own clock: instants of starts and ends are made here

TYPE_CHECKING = False  # `typing` itself is too large to enter
if TYPE_CHECKING:
    from typing import Any

    Message = tuple[Any, ...]
    More = dict[str, Any]
if TYPE_CHECKING or __package__:
    from longshore_agent.adapters import spawner_child as child
else:  # run as a script, alone in the interpreter
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import spawner_child as child

VERSION = 2
GRACE = 10.0
#: Events wait so long (seconds) for company while enough is queued that nobody waits for them, and no more than so many.
COMPANY = 0.006
CROWD = 128
_NOTHING: More = {}  # most tasks ask for no more
_LAUNCH = {
    errno.ENOENT: "there is no such program on this host",
    errno.EACCES: "it is not executable for this user",
    errno.ENOEXEC: "it is no program: a script needs #! in its first line",
    errno.E2BIG: "arguments and environment together are too long for this host",
}


class Running:
    """A started process, leader of a session and group of its own; `more` is the last field of its request."""

    __slots__ = ("at", "attempt", "begun", "deadline", "more", "overdue", "pid")

    def __init__(self, attempt: str, pid: int, at: float, deadline: float) -> None:
        self.attempt, self.pid, self.at, self.deadline = attempt, pid, at, deadline
        self.begun = monotonic()
        self.overdue = False  # was told to stop by its time limit
        self.more = _NOTHING

    def send(self, number: int) -> None:
        """A signal to its group; stopping and going on concern all of its control group, if it has one."""
        groups = self.more.get("groups", ())
        if number == signal.SIGSTOP and child.freeze(groups, frozen=True):
            return
        if number == signal.SIGCONT:
            child.freeze(groups, frozen=False)
        child.killpg(self.pid, number)

    def destroy(self) -> None:
        """SIGKILL to its group, and to all of its control group, whatever session they fled to."""
        child.killpg(self.pid, signal.SIGKILL)
        for group in self.more.get("groups", ()):
            child.empty(group)


class Spawner:
    """State and loop. One agent at a time: a new connection replaces the old."""

    def __init__(self, path: str) -> None:
        self.id = f"{os.getpid()}-{int(time() * 1000)}"
        self.limit = 1
        self.queue: deque[Message] = deque()  # start requests as they came
        self.running: dict[str, Running] = {}
        self.by_pid: dict[int, Running] = {}
        self.ended: deque[Message] = deque()  # until the agent acknowledges them
        self.seq = 0
        self.kills: list[tuple[float, str]] = []  # (when, attempt): SIGKILL follows SIGTERM
        self.found: dict[tuple[str, str], tuple[str, float]] = {}
        self.outgoing: list[Message] = []
        self.due = 0.0  # when the waiting events leave
        self.unsent = b""
        self.incoming = bytearray()
        self.peer: socket.socket | None = None
        self.null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.stopping = False
        self.listener = _listen(path)
        self.wake, self.wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.poll = select.poll()
        self.poll.register(self.listener, select.POLLIN)
        self.poll.register(self.wake, select.POLLIN)

    def fill(self) -> None:
        """Start what is queued while slots are free."""
        while self.queue and len(self.running) < self.limit:
            self.start(self.queue.popleft())

    def start(self, request: Message) -> None:
        """Start one; what cannot be started is an event, never an exception."""
        attempt, argv, env, cwd, out, err, uid, gid, timeout = request[:9]
        more = request[9] if len(request) > 9 else _NOTHING
        try:
            os.chdir(cwd)
            program = self.resolve(argv[0], env.get("PATH", os.defpath))
            if uid is None and gid is None and not more:
                opened = (
                    (os.POSIX_SPAWN_DUP2, self.null, 0),
                    (os.POSIX_SPAWN_OPEN, 1, out, child.FLAGS, 0o644),
                    (os.POSIX_SPAWN_OPEN, 2, err, child.FLAGS, 0o644),
                )
                pid = os.posix_spawn(program, argv, env, file_actions=opened, setsid=True, setsigdef=child.DEFAULT)
            else:
                pid = child.forked(program, request, more)
        except (OSError, ValueError, IndexError) as problem:
            self.found.clear()
            self.seq += 1
            code = getattr(problem, "errno", None) or 0
            self.record((self.seq, attempt, 0, -1, 0.0, time(), 0, 0, 0, 0, f"{_why(argv, problem)}", code))
            return
        now = time()
        one = Running(attempt, pid, now, monotonic() + timeout if timeout else 0)
        one.more = more
        self.running[attempt] = self.by_pid[pid] = one
        self.outgoing.append(("S", attempt, pid, now))

    def resolve(self, name: str, path: str) -> str:
        """The program's file by the task's own PATH; remembered for a second, so that new programs are found."""
        if "/" in name:
            return name
        key, now = (name, path), monotonic()
        known = self.found.get(key)
        if known and known[1] > now:
            return known[0]
        for directory in path.split(":"):
            file = f"{directory or '.'}/{name}"
            if os.access(file, os.X_OK) and not os.path.isdir(file):
                self.found[key] = (file, now + 1)
                return file
        raise FileNotFoundError(errno.ENOENT, f"not found in PATH={path}")

    def reap(self) -> None:
        """Record every end; what is left of the group dies while the leader's pid cannot be another's yet."""
        while self.by_pid:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            pid = info.si_pid
            one = self.by_pid.pop(pid, None)
            if one is not None:
                one.destroy()
            _, status, used = os.wait4(pid, 0)
            if one is None:
                continue
            del self.running[one.attempt]
            self.seq += 1
            cpu = used.ru_utime + used.ru_stime
            blocks = (used.ru_inblock * 512, used.ru_oublock * 512)
            why = "timeout" if one.overdue else ""
            at = (
                one.at + monotonic() - one.begun
            )  # as long after its start as it took, whoever sets the clock meanwhile
            peak = used.ru_maxrss * 1024
            self.record((self.seq, one.attempt, pid, status, one.at, at, peak, cpu, *blocks, why, 0))

    def record(self, end: Message) -> None:
        """Keep an end until it is acknowledged, and tell it."""
        self.ended.append(end)
        self.outgoing.append(("E", *end))

    def terminate(self, attempt: str, grace: float, number: int) -> None:
        """Not started: dropped. Running: this signal to the group, SIGKILL after `grace` seconds; also when frozen."""
        one = self.running.get(attempt)
        if one is None:
            self.drop(attempt)
            return
        if grace > 0:
            one.send(number)
            self.kills.append((monotonic() + grace, attempt))
        else:
            one.destroy()
        one.send(signal.SIGCONT)

    def drop(self, attempt: str) -> None:
        """Forget a start that did not happen yet and say so; nothing if it did."""
        for request in self.queue:
            if request[0] == attempt:
                self.queue.remove(request)
                self.outgoing.append(("D", attempt))
                return

    def clockwork(self) -> float:
        """Enforce time limits and graces that are due; seconds until the next, -1 if none."""
        now = monotonic()
        for one in [r for r in self.running.values() if 0 < r.deadline <= now]:
            one.deadline, one.overdue = 0, True
            self.terminate(one.attempt, one.more.get("grace", GRACE), one.more.get("stop", signal.SIGTERM))
        for when, attempt in self.kills:
            if when <= now and attempt in self.running:
                self.running[attempt].destroy()
        self.kills = [(when, a) for when, a in self.kills if when > now and a in self.running]
        ahead = [r.deadline for r in self.running.values() if r.deadline] + [when for when, _ in self.kills]
        return min(ahead) - now if ahead else -1.0

    def obey(self, message: Message) -> None:
        """One request of the agent."""
        kind, rest = message[0], message[1:]
        if kind == "s":
            if rest[0] not in self.running:
                self.queue.append(rest)
        elif kind == "l":
            self.limit = rest[0]
        elif kind == "a":
            while self.ended and self.ended[0][0] <= rest[0]:
                self.ended.popleft()
        else:
            self.signalled(kind, *rest)

    def signalled(self, kind: str, attempt: str, argument: float = 0, number: int = signal.SIGTERM) -> None:
        """Requests about one attempt: d(rop), x (terminate with grace, by a signal), k (a signal number to the group)."""
        if kind == "d":
            self.drop(attempt)
        elif kind == "x":
            self.terminate(attempt, argument, number)
        elif attempt in self.running:
            self.running[attempt].send(int(argument))

    def accept(self) -> None:
        """A new agent takes over and is told everything that is here."""
        fresh, _ = self.listener.accept()
        self.hang_up()
        fresh.setblocking(False)  # noqa: FBT003  the standard library's signature
        self.peer = fresh
        running = [(r.attempt, r.pid, r.at) for r in self.running.values()]
        queued = [q[0] for q in self.queue]
        self.outgoing = [("H", VERSION, self.id, os.getpid(), running, queued, list(self.ended))]
        self.unsent = b""
        self.incoming = bytearray()
        self.poll.register(fresh, select.POLLIN)

    def hang_up(self) -> None:
        """Forget the agent; its processes go on."""
        if self.peer is not None:
            self.poll.unregister(self.peer)
            self.peer.close()
            self.peer = None

    def read(self) -> None:
        """Take whole frames off the socket and obey them."""
        if self.peer is None:
            return
        try:
            data = self.peer.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.hang_up()
            return
        self.incoming += data
        while len(self.incoming) >= 4:
            size = int.from_bytes(self.incoming[:4], "big")
            if len(self.incoming) < 4 + size:
                break
            for message in marshal.loads(self.incoming[4 : 4 + size]):
                self.obey(message)
            del self.incoming[: 4 + size]

    def flush(self) -> None:
        """Send events as one frame; what the socket does not take waits for it to be writable."""
        if self.peer is None:
            self.outgoing, self.due = [], 0.0
            return
        if self.outgoing and not self.may_wait():
            over = {event[2] for event in self.outgoing if event[0] == "E"}
            body = marshal.dumps([e for e in self.outgoing if e[0] != "S" or e[1] not in over], 2)
            self.unsent += len(body).to_bytes(4, "big") + body
            self.outgoing = []
            self.due = 0.0
        try:
            sent = self.peer.send(self.unsent) if self.unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.hang_up()
            return
        self.unsent = self.unsent[sent:]
        self.poll.modify(self.peer, select.POLLIN | (select.POLLOUT if self.unsent else 0))

    def may_wait(self) -> bool:
        """Whether events had better wait for more: the slots are busy without the agent for a while."""
        if len(self.queue) < 4 * self.limit or len(self.outgoing) > CROWD:
            return False
        now = monotonic()
        if not self.due:
            self.due = now + COMPANY
        return now < self.due

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then every group is killed."""
        signal.set_wakeup_fd(self.wake_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        while not self.stopping:
            wait = self.clockwork()
            if self.due:
                wait = min(COMPANY, wait) if wait >= 0 else COMPANY
            ready = self.poll.poll(-1 if wait < 0 else wait * 1000 + 1)
            for fd, _ in ready:
                if fd == self.wake:
                    os.read(self.wake, 65536)
                elif fd == self.listener.fileno():
                    self.accept()
                else:
                    self.read()
            self.reap()
            self.fill()
            self.flush()
        for one in self.running.values():
            one.destroy()

    def stop(self, *_: object) -> None:
        """Signal: end the loop."""
        self.stopping = True


def _listen(path: str) -> socket.socket:
    """A listener at `path`, 0600, once for all: where another spawner answers already, this one has no work and ends."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(0o077)
    try:
        listener.bind(path)
    except OSError as problem:
        if problem.errno != errno.EADDRINUSE:
            raise
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            listener.bind(path)
        else:
            raise
        finally:
            probe.close()
    os.umask(0o022)
    listener.listen(8)
    listener.setblocking(False)  # noqa: FBT003  the standard library's signature
    return listener


def _why(argv: list[str], problem: Exception) -> str:
    """One line that says what could not be started and what to change."""
    name = argv[0] if argv else ""
    if isinstance(problem, OSError):
        detail = _LAUNCH.get(problem.errno or 0, "")
        return f"cannot start {name!r}: {detail + ': ' if detail else ''}{problem.strerror}"
    return f"cannot start {name!r}: {problem}" if argv else "cannot start: the command is empty"


def main() -> None:
    """Serve on LONGSHORE_SPAWNER_SOCKET; one JSON line at start and end, as every service prints."""
    path = os.environ.get("LONGSHORE_SPAWNER_SOCKET", "")
    if not path:
        sys.stderr.write("set LONGSHORE_SPAWNER_SOCKET to the path of the socket to serve on\n")
        raise SystemExit(2)
    try:
        spawner = Spawner(path)
    except OSError as problem:
        sys.stderr.write(
            f"cannot serve on {path}: {problem.strerror}; another spawner serves there, or it is no place\n"
        )
        raise SystemExit(1) from problem
    _say("spawner-started")
    spawner.run()
    try:
        os.unlink(path)
    finally:
        _say("spawner-stopped")


def _say(event: str) -> None:
    at = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
    sys.stdout.write(f'{{"service":"spawner","event":"{event}","level":"info","pid":{os.getpid()},"time":"{at}"}}\n')
    sys.stdout.flush()


if __name__ == "__main__":
    main()
