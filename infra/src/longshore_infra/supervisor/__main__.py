"""The supervisor: keeps the parts of a plan running, writes their output to files, and stops them in order.

One thread, one selector. What must not enter: what the parts are, readiness, set-up (the plan comes ready on stdin).
"""

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from longshore_common.clock import SystemClock
from longshore_infra.supervisor import identity
from longshore_infra.supervisor.files import sign, write_private
from longshore_infra.supervisor.part_log import PartLog, line
from longshore_infra.supervisor.plan import Part, PartReport, PartState, Plan, Report

#: Pause before the first restart, and the longest (seconds); it doubles with each death within `STEADY` seconds of a start.
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
STEADY: Final = 20.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None)


class _Running:
    """A part and its present process."""

    def __init__(self, part: Part, log: PartLog, now: float) -> None:
        self.part, self.log = part, log
        self.state: PartState = "backing-off"
        self.since = now
        self.process: subprocess.Popen[bytes] | None = None
        self.identity: identity.Identity | None = None
        self.restarts, self.last_exit, self.pause = 0, "", FIRST_PAUSE
        self.due = self.began = 0.0  # monotonic

    def report(self) -> PartReport:
        return PartReport(
            name=self.part.name, state=self.state, since=self.since, restarts=self.restarts,
            last_exit=self.last_exit, identity=self.identity,
        )  # fmt: skip


class Supervisor:
    """Runs one plan to its end."""

    def __init__(self, plan: Plan) -> None:
        self._report_file, logs = Path(plan.report), Path(plan.logs)
        self._clock = SystemClock()
        self._log = PartLog(logs / "supervisor.jsonl", "supervisor")
        now = self._clock.now()
        self._parts = [_Running(p, PartLog(logs / f"{p.name}.jsonl", p.name, p.lines), now) for p in plan.parts]
        self._selector = selectors.DefaultSelector()
        self._wanted_stops = 0
        me = identity.of(os.getpid())
        assert me is not None  # we run
        self._me = me

    def run(self) -> None:
        """Until SIGTERM or SIGINT; a second one does not wait for any part."""
        self._listen()
        self._say("info", "started", pid=os.getpid())
        while not self._wanted_stops:
            self._start_due()
            self._turn(self._until_due())
        self._stop_all()
        self._say("info", "stopped")

    def _listen(self) -> None:
        receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._want_stop)
        self._selector.register(receiver, selectors.EVENT_READ, None)

    def _want_stop(self, _number: int, _frame: object) -> None:
        self._wanted_stops += 1

    def _until_due(self) -> float | None:
        due = [r.due for r in self._parts if r.process is None and r.state == "backing-off"]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _turn(self, timeout: float | None) -> None:
        """Wait for output, deaths or signals, at most `timeout` seconds, and take note of them."""
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(key.fd, 4096)
            else:
                self._read(key.fd, key.data)
        self._reap()

    def _read(self, handle: int, running: _Running) -> None:
        try:
            data = os.read(handle, 65536)
        except BlockingIOError:
            return
        if data:
            running.log.feed(data, self._clock.now())
            return
        self._selector.unregister(handle)
        os.close(handle)

    def _reap(self) -> None:
        by_pid = {r.process.pid: r for r in self._parts if r.process is not None}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in by_pid:  # else a stray: its parent died, so it became ours
                self._died(by_pid.pop(pid), os.waitstatus_to_exitcode(status))

    def _died(self, running: _Running, code: int) -> None:
        assert running.process is not None
        running.process.returncode = code
        if running.part.own_group:
            with suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGKILL)
        running.process = running.identity = None
        running.log.flush(self._clock.now())
        running.last_exit = signal.Signals(-code).name if code < 0 else f"exit {code}"
        if running.state == "stopping":
            return self._becomes(running, "stopped")
        if time.monotonic() - running.began > STEADY:
            running.pause = FIRST_PAUSE
        running.due = time.monotonic() + running.pause
        self._say("error", "part died", part=running.part.name, exit=running.last_exit, restart_in=running.pause)
        running.pause = min(running.pause * 2, LONGEST_PAUSE)
        running.restarts += 1
        self._kill_strays()  # tasks of a dead spawner: nobody can tell any more how they end
        self._becomes(running, "backing-off")
        return None

    def _start_due(self) -> None:
        for running in self._parts:
            if running.process is None and running.state == "backing-off" and running.due <= time.monotonic():
                self._start(running)

    def _start(self, running: _Running) -> None:
        part = running.part
        receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(sender, True)
        running.began = time.monotonic()
        try:
            running.process = subprocess.Popen(
                part.command, env=part.env, cwd=part.cwd, stdin=subprocess.DEVNULL, stdout=sender, stderr=sender,
                start_new_session=True, preexec_fn=lambda: _die_with_parent(part.stop_signal),
            )  # fmt: skip
        except OSError as err:
            os.close(receiver)
            running.due = running.began + LONGEST_PAUSE
            running.last_exit = f"not started: {err}"
            running.restarts += 1
            self._say("error", "part not started", part=part.name, reason=str(err))
            return self._becomes(running, "backing-off")
        finally:
            os.close(sender)
        self._selector.register(receiver, selectors.EVENT_READ, running)
        running.identity = identity.of(running.process.pid)
        self._say("info", "part started", part=part.name, pid=running.process.pid)
        return self._becomes(running, "running")

    def _becomes(self, running: _Running, state: PartState) -> None:
        running.state, running.since = state, self._clock.now()
        report = Report(supervisor=self._me, parts=[r.report() for r in self._parts])
        write_private(self._report_file, msgspec.json.encode(report))

    def _stop_all(self) -> None:
        for order in sorted({r.part.stop_order for r in self._parts}):
            self._stop_group([r for r in self._parts if r.part.stop_order == order])
        end = time.monotonic() + 5
        while self._kill_strays() and time.monotonic() < end:
            self._turn(0.05)

    def _stop_group(self, group: list[_Running]) -> None:
        for running in group:
            state: PartState = "stopped" if running.process is None else "stopping"
            self._becomes(running, state)
            if running.process is not None:
                os.kill(running.process.pid, running.part.stop_signal)
        began = time.monotonic()
        for running in sorted(group, key=lambda r: r.part.patience):
            while running.process is not None and self._wanted_stops < 2:
                if (rest := began + running.part.patience - time.monotonic()) <= 0:
                    break
                self._turn(rest)
            if running.process is not None:
                self._say("warning", "part killed, it did not stop in time", part=running.part.name)
                os.kill(running.process.pid, signal.SIGKILL)
        while any(r.process for r in group):
            self._turn(1)

    def _kill_strays(self) -> bool:
        """Kill what became our child by the death of its parent; whether there was any."""
        ours = {r.process.pid for r in self._parts if r.process is not None}
        strays = [pid for pid in identity.children(os.getpid()) if pid not in ours]
        for pid in [each for stray in strays for each in (stray, *identity.descendants(stray))]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if strays:
            self._say("warning", "processes left by a dead part killed", pids=strays)
        return bool(strays)

    def _say(self, level: str, event: str, **ids: object) -> None:
        self._log.write(line("supervisor", level, event, self._clock.now(), **ids))


def _die_with_parent(number: int) -> None:
    """In the child, before exec: a supervisor killed by -9 takes its parts along."""
    _libc.prctl(_PR_SET_PDEATHSIG, number)


def main() -> int:
    """The plan on stdin, the number of the inherited lock as the only argument."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    lock = int(sys.argv[1])  # the second argument tells people which stack this is
    os.set_inheritable(lock, False)  # noqa: FBT003 - the call has no keyword
    sign(lock)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if plan.attached:
        _die_with_parent(signal.SIGTERM)
    Supervisor(plan).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
