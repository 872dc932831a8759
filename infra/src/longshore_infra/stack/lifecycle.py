"""`up` and `down`: prepare the state directory, start the supervisor, wait until the stack serves; stop it all again.

What must not enter: keeping parts alive (the supervisor), how each part is set up (its own module).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from longshore_common.errors import BadInput
from longshore_common.profile import Profile
from longshore_infra.stack import health, keys, nats, postgres, services
from longshore_infra.stack.layout import Layout, choose_ports
from longshore_infra.supervisor import identity
from longshore_infra.supervisor.files import read_json, write_json, write_private
from longshore_infra.supervisor.plan import Part, Plan

#: How long a stack may take to serve, and to stop (seconds).
READY_WITHIN: Final = 60.0
STOP_WITHIN: Final = 90.0
#: A part that died this often before the stack ever served is given up.
GIVE_UP_AFTER: Final = 4


def up(state_dir: Path, *, detach: bool, workers: int, concurrency: int, environ: Mapping[str, str]) -> int:
    """Start the stack of this directory and return 0: with `detach` once it serves, else when it was stopped (Ctrl-C).

    1 if it did not come to serve; its parts' last words are on stderr and nothing is left running. `Refused` if it runs
    already or something outside is unfit, `BadInput` for impossible numbers. State of an earlier run is taken up again.
    `concurrency` -1: what tasks request decides how many a worker runs at once.
    """
    if workers < 0 or concurrency < -1:
        raise BadInput("a stack has 0 or more workers, and each 0 or more slots, or -1 if what tasks request decides")
    began = time.monotonic()
    layout = Layout(state_dir.absolute())
    layout.create()
    lock = layout.lock()
    try:
        stop_orphans(layout)
        parts, stack = prepare(layout, workers, concurrency, environ)
        plan = Plan(logs=str(layout.logs), report=str(layout.report_file), parts=parts, attached=not detach)
        supervisor = launch(layout, plan, lock)
    finally:
        os.close(lock)  # the supervisor holds it now
    return _Attendance(layout, supervisor, began, attached=not detach).serve(stack)


def down(state_dir: Path) -> int:
    """Stop the stack of this directory, in order, with what a killed supervisor left; 0, also if nothing ran."""
    layout = Layout(state_dir.absolute())
    stopped = False
    if (pid := layout.running()) is not None:
        stopped = True
        if (who := identity.of(pid)) is not None:
            identity.stop_gently(who, patience=STOP_WITHIN)
    stopped = stop_orphans(layout) or stopped
    print(f"the stack in {layout.root} is stopped" if stopped else f"no stack runs in {layout.root}", file=sys.stderr)
    return 0


def stop_orphans(layout: Layout) -> bool:
    """Stop what a supervisor that is gone left running; whether there was any."""
    if (report := layout.report()) is None:
        return False
    left = [part.identity for part in report.parts if part.identity is not None]
    return bool(identity.stop(left, patience=10))


def prepare(
    layout: Layout, workers: int, concurrency: int, environ: Mapping[str, str]
) -> tuple[list[Part], health.Stack]:
    """Everything on disk that the parts need, and the parts in the order of starting."""
    kept = read_json(layout.stack_file, health.Stack)
    ports = choose_ports(kept.ports if kept else None)
    owned = keys.prepare(layout, environ)
    parts: list[Part] = []
    if outside := environ.get("NATS_URL"):
        nats.check_outside(outside)
    else:
        parts.append(_nats(layout, ports.nats, owned.server_conf, environ))
    if database := environ.get("DATABASE_URL"):
        postgres.check_outside(database)
    else:
        part, database = postgres.prepare(layout, ports.postgres)
        parts.append(part)
    places = services.Places(outside or f"nats://127.0.0.1:{ports.nats}", database, f"127.0.0.1:{ports.api}")
    parts += services.services(layout, owned, places, environ)
    parts += services.workers(layout, places, concurrency, workers, environ)
    stack = health.Stack(
        ports=ports, nats_url=places.nats_url, api_url=places.api_url, workers=services.names(workers),
        concurrency=concurrency, parts=[p.name for p in parts],
    )  # fmt: skip
    write_json(layout.stack_file, stack)
    write_json(layout.client_file, _profile(layout, owned, places))
    return parts, stack


def launch(layout: Layout, plan: Plan, lock: int) -> subprocess.Popen[bytes]:
    """The supervisor as a process of a session of its own, which holds the lock; its own words go to its log."""
    with os.fdopen(os.open(layout.log("supervisor"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "longshore_infra.supervisor", str(lock), str(layout.root)],
            stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=[lock], start_new_session=True, cwd="/",
        )  # fmt: skip
    assert supervisor.stdin is not None  # asked for above
    with supervisor.stdin:
        supervisor.stdin.write(msgspec.json.encode(plan))
    return supervisor


class _Attendance:
    """The `up` command beside its supervisor: waits for readiness, passes signals on, reports."""

    def __init__(self, layout: Layout, supervisor: subprocess.Popen[bytes], began: float, *, attached: bool) -> None:
        self._layout, self._supervisor, self._began, self._attached = layout, supervisor, began, attached
        self._interrupted = False

    def serve(self, stack: health.Stack) -> int:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._pass_on)
        trouble = self._wait_until_ready(stack)
        if trouble and not self._interrupted:
            print(f"the stack in {self._layout.root} does not serve: {trouble}", file=sys.stderr)
            self._stop()
            return 1
        if not self._interrupted:
            took = time.monotonic() - self._began
            print(f"the stack in {self._layout.root} serves, ready in {took:.1f} s: {stack.api_url}", flush=True)
        if not self._attached and not self._interrupted:
            self._supervisor.returncode = 0  # it goes on without us
            return 0
        return 0 if self._supervisor.wait() == 0 else 1

    def _wait_until_ready(self, stack: health.Stack) -> str:
        """Nothing once it serves, else what is wrong."""
        end = time.monotonic() + READY_WITHIN
        while True:
            missing = health.missing(self._layout, stack)
            if self._interrupted or (not missing and self._led(stack)):
                return ""
            if self._supervisor.poll() is not None:
                return f"the supervisor ended ({self._supervisor.returncode})" + health.last_words(
                    self._layout, "supervisor"
                )
            if given_up := self._given_up():
                return given_up
            if time.monotonic() > end:
                return f"after {READY_WITHIN:.0f} s {missing or 'no dispatcher leads'}" + health.last_words(
                    self._layout, *health.culprits(self._layout)
                )
            time.sleep(0.05)

    def _led(self, stack: health.Stack) -> bool:
        """Whether a dispatcher leads; asked last, since it takes a client of the log to hear it."""
        from longshore_infra.stack import leader  # here, so that `status` and `down` load no client of the log

        return leader.heard(stack.nats_url, keys.creds_file(self._layout, "dispatch"), within=3)

    def _given_up(self) -> str:
        report = self._layout.report()
        if report is None or not identity.alive(report.supervisor):  # of an earlier run
            return ""
        for part in report.parts:
            if part.restarts >= GIVE_UP_AFTER:
                said = health.last_words(self._layout, part.name)
                return f"{part.name} died {part.restarts} times, last by {part.last_exit}{said}"
        return ""

    def _pass_on(self, number: int, _frame: object) -> None:
        self._interrupted = True
        if self._supervisor.poll() is None:
            self._supervisor.send_signal(number)

    def _stop(self) -> None:
        self._supervisor.terminate()
        try:
            self._supervisor.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
            stop_orphans(self._layout)


def _nats(layout: Layout, port: int, trust: str, environ: Mapping[str, str]) -> Part:
    binary, config = nats.find_server(environ), layout.nats / "nats.conf"
    write_private(config, nats.config(f"127.0.0.1:{port}", layout.nats / "store", trust).encode())
    return Part(
        name="nats", command=[str(binary), "-c", str(config)], cwd=str(layout.nats), stop_order=services.NATS,
        env={"GOMEMLIMIT": "128MiB", "GOGC": "50", "PATH": "/usr/bin:/bin"}, patience=15, lines="nats",
    )  # fmt: skip


def _profile(layout: Layout, owned: keys.Keys, places: services.Places) -> Profile:
    return Profile(
        user=owned.user, nats_url=places.nats_url, nats_creds=str(keys.creds_file(layout, owned.user)),
        api_url=places.api_url, api_token_file=str(layout.secrets / "api-token"),
    )  # fmt: skip
