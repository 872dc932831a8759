"""The lane of bare commands: hands them to the spawner, and follows what it says, across deaths of either side.

What must not enter: containers, transfers, what a result means (`core.verdict`).
"""

import asyncio
import errno
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol

from longshore_agent.adapters import host, leftovers, spawner, step_plan
from longshore_agent.adapters.confinement import Confinement, confined
from longshore_agent.adapters.journal import Phased
from longshore_agent.adapters.spawner import Hello, Message
from longshore_agent.adapters.workdirs import NOWHERE, Place
from longshore_agent.core import contract, verdict
from longshore_agent.core.attempts import Act, Attempt
from longshore_agent.core.verdict import Exit
from longshore_agent.service.desk import Desk
from longshore_common import logs
from longshore_common.errors import BadInput
from longshore_common.events import Order
from longshore_common.ids import AttemptId
from longshore_common.model import Cause

log = logs.get_logger()
#: Bare attempts waiting inside the spawner beyond its slots: a freed slot is refilled without a round trip.
AHEAD: Final = 32
_RETRY: Final = 0.02  # seconds between looks for a spawner that is not there
_LOOK: Final = 1.0  # seconds between looks at what confined tasks hold


class Link(Protocol):
    """What this lane needs of a spawner's link."""

    closed: asyncio.Event

    def send(self, messages: list[Message]) -> None:
        """Ask for these."""

    def close(self) -> None:
        """Hang up."""


Connect = Callable[[Callable[[list[Message]], None]], "asyncio.Future[tuple[Link, Hello]]"]


class BareLane:
    """Bare attempts of this host. `spawner_id` is the one they were handed to, from the journal at first."""

    def __init__(self, desk: Desk, socket: Path, *, own: bool, spawner_id: str, noop: bool = False) -> None:
        self.desk, self.socket, self.own, self.noop = desk, socket, own, noop
        self.spawner_id = spawner_id
        self.on_acts: Callable[[Iterable[Act]], None] = lambda _: None
        self.link: Link | None = None
        self.up = asyncio.Event()
        self._stopping = False
        self._limit = -1
        self._seen = 0  # the last end that was taken in, and the last that was acknowledged
        self._acknowledged = 0
        self.confinement = Confinement(str(desk.dirs.base))
        self._looking: asyncio.Task[None] | None = None
        self._inherited = contract.kept(os.environ)
        self._shared: dict[int, tuple[Order, int, dict[str, str], list[str]]] = {}

    # --- starting ---

    def launch(self, attempts: list[Attempt]) -> None:
        """Hand these over; they are `launched` in the core already."""
        requests, names, places = [], [], []
        for attempt in attempts:
            try:
                secrets = self.desk.secrets(attempt.order) if attempt.order.spec.secrets else {}
                place = self._place(attempt)
                more = self.confinement.demand(attempt)
            except OSError as err:
                self._no_place(attempt, err)
                continue
            except BadInput as err:
                self.desk.end(attempt, verdict.lacks_secret(attempt, err, self.desk.clock.now()))
                continue
            attempt.place = place.name
            request = self._request(attempt, place, more)
            request[3].update(secrets)
            requests.append(request)
            names.append(attempt.id)
            places.append(place.name)
        if not requests:
            return
        record = Phased("launched", tuple(names), self.desk.clock.now(), tuple(places), self.spawner_id)
        if self.desk.note(record):
            self.send([*self._new_limit(), *requests])
            return
        for attempt in reversed(attempts):
            self.on_acts(self.desk.attempts.withdrawn(attempt))

    def _request(self, attempt: Attempt, place: Place, more: dict[str, Any]) -> Message:
        """What the spawner is asked to start."""
        shared, argv = self._of_order(attempt.order)
        spec = attempt.order.spec
        if spec.steps:
            argv = step_plan.argv(place)
        own = contract.own_environment(spec, attempt.start, attempt.devices)
        env = contract.environment(shared, attempt.id, attempt.start, place.places, own)
        files = (place.places.temp, place.stdout, place.stderr)
        user = (None, None) if spec.steps else (spec.uid, spec.gid)  # the runner of steps becomes theirs itself
        request = ("s", attempt.id, argv, env, *files, *user, spec.run_timeout)
        if not more:
            return request
        self._watch()
        return (*request, more)

    def _watch(self) -> None:
        """Look at confined tasks from here on, if there are any."""
        if self._looking is None and self.confinement.watched:
            self._looking = asyncio.get_running_loop().create_task(self._look(), name="look at confined tasks")

    async def _look(self) -> None:
        """Look at what confined tasks hold while there are any."""
        while self.confinement.watched:
            await asyncio.sleep(_LOOK)
            self.confinement.sample()
        self._looking = None

    def _place(self, attempt: Attempt) -> Place:
        """Where it shall work: what was staged for it, or a set of empty directories; its user's own if it names one."""
        if self.noop:
            return NOWHERE
        spec = attempt.order.spec
        if attempt.place:
            place = self.desk.dirs.named(attempt.place)
        else:
            place = self.desk.dirs.make(f"a-{attempt.id}") if spec.steps else self.desk.dirs.take()
        if spec.steps:
            step_plan.write(place, spec)
        if spec.uid is not None or spec.gid is not None:
            for directory in place.places:
                os.chown(directory, -1 if spec.uid is None else spec.uid, -1 if spec.gid is None else spec.gid)
        return place

    def _no_place(self, attempt: Attempt, err: OSError) -> None:
        """It cannot have its directories, so it fails for the host's sake."""
        cause: Cause = "disk-full" if err.errno == errno.ENOSPC else "host"
        reason = f"no directory to work in: {err.strerror}"
        if err.errno == errno.EPERM:
            cause, reason = "launch", "only an agent that runs as root can start tasks as another user or group"
        self.desk.end(attempt, verdict.failed(attempt, cause, reason, self.desk.clock.now()))

    def _of_order(self, order: Order) -> tuple[dict[str, str], list[str]]:
        """What all attempts of an order share, made once."""
        slots = self.desk.attempts.width
        known = self._shared.get(id(order))
        if known is None or known[0] is not order or known[1] != slots:
            if len(self._shared) > 64:
                self._shared.clear()
            here = self.desk.host._replace(slots=slots)
            known = (order, slots, contract.shared_environment(order, here, self._inherited), contract.argv(order.spec))
            self._shared[id(order)] = known
        return known[2], known[3]

    def limit(self) -> None:
        """Tell the spawner how many may run at once, if that changed."""
        self.send(self._new_limit())

    def _new_limit(self) -> list[Message]:
        wanted = self.desk.attempts.beside()
        if wanted == self._limit:
            return []
        self._limit = wanted
        return [("l", wanted)]

    def send(self, messages: list[Message]) -> None:
        """To the spawner, if one is there."""
        if self.link is not None and messages:
            self.link.send(messages)

    def act(self, act: Act) -> None:
        """Do what is wanted of a handed-over attempt."""
        name = act.attempt.id
        match act.deed:
            case "withdraw":
                self.send([("d", name)])
            case "terminate":
                # an earlier spawner, which takes no signal, has SIGTERM in mind anyway
                asks = verdict.stop_signal(act.signal)
                self.send([("x", name, act.grace, *([] if asks == signal.SIGTERM else [asks]))])
            case "freeze":
                self.send([("k", name, int(signal.SIGSTOP))])
            case "thaw":
                self.send([("k", name, int(signal.SIGCONT))])
            case "send":
                number = verdict.signal_number(act.signal)
                if number is not None:
                    self.send([("k", name, number)])
            case "cancel":
                pass

    # --- what the spawner says ---

    def on_events(self, messages: list[Message]) -> None:
        """One frame."""
        held = self.desk.attempts.held
        self._kill_escaped(messages)
        for message in messages:
            kind = message[0]
            if kind == "E":
                self._ended(message[1:])
                continue
            attempt = held.get(message[1])
            if attempt is None:
                continue
            if kind == "S":
                self.on_acts(self.desk.attempts.started(attempt, message[3]))
            elif kind == "D":
                self._unconfine(attempt)
                self.on_acts(self.desk.attempts.withdrawn(attempt))
        self.desk.wake_reports()
        self.desk.turn()

    def _kill_escaped(self, messages: list[Message]) -> None:
        """What was told to end ends whole: also processes that left its session, which only a control group would hold."""
        escaped = []
        for message in messages:
            if message[0] == "E" and (message[11] == "timeout" or self._stopping or self._unwanted(message[2])):
                escaped.append(message[2])
        if escaped:
            leftovers.kill(self.desk.host.worker, escaped)

    def _unwanted(self, name: AttemptId) -> bool:
        attempt = self.desk.attempts.held.get(name)
        return attempt is not None and (attempt.unwanted() or name in self.desk.overdrawn)

    def _ended(self, message: Message) -> None:
        seq, name, _pid, status, started, ended, *used, why, code_of = message
        self._seen = seq
        attempt = self.desk.attempts.held.get(name)
        if attempt is None or attempt.phase not in ("launched", "running"):
            return
        if status == -1:
            self._unconfine(attempt)
            cause: Cause = "disk-full" if code_of == errno.ENOSPC else "launch"
            self.desk.over(attempt, Exit(None, None, ended, cause=cause, reason=why))
            return
        code = status >> 8 if status & 0x7F == 0 else 128 + (status & 0x7F)
        end = Exit(code, started, ended, *used)
        if confined(attempt):
            end = self._as_its_group_says(attempt, end)
        if code or why:
            end = self._with_cause(attempt, end, why)
        if attempt.order.spec.steps:
            attempt.steps = step_plan.ends(self.desk.place(attempt))
            end = end._replace(reason=verdict.of_steps(attempt, end))
        self.desk.over(attempt, end)

    def _unconfine(self, attempt: Attempt) -> None:
        """It needs its control group no longer, if it had one."""
        if confined(attempt):
            self.confinement.forget(attempt.id)

    def _as_its_group_says(self, attempt: Attempt, end: Exit) -> Exit:
        """What its control group knows of it, which is removed."""
        held = self.confinement.told(attempt, end.peak_memory, end.cpu_seconds)
        self.confinement.forget(attempt.id)
        end = end._replace(peak_memory=held.peak_memory, cpu_seconds=held.cpu_seconds)
        if not held.oom or not end.code:
            return end
        limit = contract.memory(attempt.order.spec, attempt.start)
        reason = (
            f"the kernel killed a process of it for want of memory (limit {limit} bytes): ask for more with --memory"
        )
        return end._replace(cause="oom", reason=reason)

    def _with_cause(self, attempt: Attempt, end: Exit, why: str) -> Exit:
        """Whether its time limit, the kernel's memory killer or a full disk ended it."""
        if why == "timeout":
            limit = attempt.order.spec.run_timeout
            return end._replace(cause="timeout-running", reason=f"it ran longer than its limit of {limit:g} s")
        if self._stopping:
            return end._replace(cause="evicted", reason="the agent of its host was stopped")
        if end.cause is not None:
            return end
        if host.disk_is_full(self.desk.dirs.base):
            # its own words are lost as well: they would have been written there
            reason = f"exit code {end.code} while the worker's disk was full ({self.desk.dirs.base}): free some there"
            return end._replace(cause="disk-full", reason=reason)
        if end.code == 128 + signal.SIGKILL and not confined(attempt):
            reason = (
                "exit code 137: SIGKILL; who sent it is not known: a task with --memory would know if it was the kernel"
            )
            return end._replace(reason=reason)
        return end

    def acknowledge(self) -> None:
        """All ends taken in so far are in the journal: the spawner may forget them."""
        if self._seen > self._acknowledged:
            self._acknowledged = self._seen
            self.send([("a", self._seen)])

    def stop_all(self) -> None:
        """The agent stops for good: end every process it holds."""
        self._stopping = True
        self.send([("l", 0), *(("x", a.id, 0.0) for a in self._handed())])

    def hang_up(self) -> None:
        """The agent stops: processes go on under the spawner."""
        if self._looking is not None:
            self._looking.cancel()
        if self.link is not None:
            self.link.close()

    # --- the connection ---

    async def keep(self) -> None:
        """Be connected for ever; a spawner that died has taken its attempts with it."""
        waited = 0.0
        while True:
            try:
                link, hello = await self._connect()
            except OSError as err:
                if isinstance(err, FileNotFoundError | ConnectionRefusedError):
                    self._bury_all()  # nobody serves there: it is dead, not slow
                    waited = self._start_own(waited)
                await asyncio.sleep(_RETRY)
                continue
            waited = 0.0
            self._take_over(link, hello)
            await link.closed.wait()
            self.up.clear()
            self.link = None
            log.warning("spawner-gone", spawner=self.spawner_id)

    def _start_own(self, waited: float) -> float:
        """Start a spawner if none came for a second and nobody else is to do that; the seconds waited since the last."""
        if self.own and waited >= 1:
            spawner.start_detached(self.socket)
            return 0.0
        return waited + _RETRY

    async def _connect(self) -> tuple[Link, Hello]:
        if self.noop:
            from longshore_agent.adapters.noop import Noop

            noop = Noop(self.on_events)
            return noop, noop.hello
        link = await spawner.connect(self.socket, self.on_events)
        return link, link.hello.result()

    def _take_over(self, link: Link, hello: Hello) -> None:
        """Compare what it holds with what we think it holds."""
        if hello.id != self.spawner_id:
            self._bury_all()
        self.link, self.spawner_id = link, hello.id
        self.confinement.attach(hello.pid, hello.version, self.desk.attempts.held)
        self._watch()
        self._limit, self._acknowledged = -1, 0
        known = {name: at for name, _, at in hello.running}
        there = {*known, *hello.queued, *(end[1] for end in hello.ended)}
        attempts = self.desk.attempts
        for attempt in self._handed():
            if attempt.id in known:
                attempts.started(attempt, known[attempt.id])  # `overdue_acts` below freezes it if it shall pause
            elif attempt.id not in there and attempt.phase == "launched":
                self.on_acts(attempts.withdrawn(attempt))  # the message that handed it over was lost on its way
        strangers = [name for name in (*known, *hello.queued) if name not in attempts.held]
        link.send([*self._new_limit(), *(("x", name, 0.0) for name in strangers)])
        log.info("spawner-connected", spawner=hello.id, running=len(hello.running), queued=len(hello.queued))
        self.up.set()
        self.on_acts(attempts.overdue_acts())
        self.on_events([("E", *end) for end in hello.ended])

    def _handed(self) -> list[Attempt]:
        """Bare attempts that a spawner holds or held."""
        held = self.desk.attempts.held.values()
        return [a for a in held if a.phase in ("launched", "running") and not a.contained]

    def _bury_all(self) -> None:
        """The spawner died: what is left of its attempts is killed, and they fail."""
        lost = self._handed()
        if not lost:
            return
        killed = leftovers.kill(self.desk.host.worker, [a.id for a in lost])
        for attempt in lost:
            self._unconfine(attempt)
        log.error("attempts-lost-with-spawner", attempts=[a.id for a in lost], processes=killed)
        now = self.desk.clock.now()
        for attempt in lost:
            reason = "the spawner of its host died, so how it ended is unknown"
            self.desk.end(attempt, verdict.failed(attempt, "host", reason, now))
