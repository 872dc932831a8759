"""The attempts of this host: which phase each is in, what is wanted of it, and what to do next.

    accepted → staging → ready → launched → running → delivering → delivered → publishing → ended
    (no data to fetch: accepted is ready at once; no output to keep: running ends; `launched` waits in the spawner)

Events and facts come in, `Act`s come out; nothing here acts. What must not enter: I/O, the clock (instants are
arguments), reports (see `reports`), decisions about other workers. A repeat of any call changes nothing.
"""

from collections import deque
from typing import Final, Literal

from longshore_common import events as e
from longshore_common.ids import AttemptId, attempt_id
from longshore_common.model import OutputFile, Wanted

from .admission import asked
from .attempt import EVICTED, OVER, Act, Attempt, Deed, Phase, changed
from .reports import Pending
from .starting import HANDED, Starting

__all__ = ["EVICTED", "Act", "Attempt", "Attempts", "Deed", "Phase", "changed"]

#: Phases in which nothing was handed over to start.
_BEFORE: Final = ("accepted", "staging", "ready")
#: Seconds before the host goes away at which what ran on it shall be over, so that its checkpoint can still be saved.
_SPARE: Final = 5.0
#: A host that is still here so long after it was to go has another clock than its provider; and the shortest notice that
#: providers give, which it has then. Seconds.
_PAST: Final = 60.0
_SHORTEST: Final = 30.0


class Attempts(Starting):
    """All attempts this host holds, its slots, and the reports they give rise to."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self.prefetch = -1
        self.prefetch_percent = 0
        self.batch = ""  # where the dispatcher moved this worker, "": nowhere yet
        self.resized = False  # the dispatcher's numbers count, not the settings'
        self.paused = False
        self.heard = 0
        self.lost = False  # the dispatcher counts us as lost: join again
        self.to_stage: deque[Attempt] = deque()
        self.granted: list[Attempt] = []
        self.pending = Pending()
        self.errands: dict[
            int, e.WorkerCareOrdered | e.SweepOrdered
        ] = {}  # by the sequence that ordered them, until done

    # --- what the dispatcher says ---

    def hear(self, seq: int, event: e.Event, now: float) -> list[Act]:
        """Take in one message of the worker subject; one at or before `heard` was taken in already."""
        if seq <= self.heard:
            return []
        self.heard = seq
        match event:
            case e.AttemptsAssigned():
                plain = self.plain
                for order in event.orders:
                    self._accept(order)
                return [*self._if_judged_anew(plain=plain), *self.evict(self.limits.leaving, now)]
            case e.WorkerCareOrdered() | e.SweepOrdered():
                self.errands[seq] = event
            case e.AttemptsRecalled():
                return [act for a in event.attempts for act in self._recall(a)]
            case e.AttemptsSignalled():
                return [act for a in event.attempts for act in self._signal(a, event, now)]
            case e.WorkerResized():
                plain = self.plain
                self.slots, self.resized = max(-1, event.concurrency), True
                self.prefetch, self.prefetch_percent = event.prefetch, event.prefetch_percent
                return self._if_judged_anew(plain=plain)
            case _:
                self._about_us(event)
        return []

    def _if_judged_anew(self, *, plain: bool) -> list[Act]:
        """What was handed over ahead comes back once slots alone do not decide any more."""
        return self.take_back() if plain and not self.plain else []

    def _about_us(self, event: e.Event) -> None:
        """What concerns the worker as a whole; what only later agents understand is passed over."""
        if isinstance(event, e.WorkerPaused | e.WorkerResumed):
            self.paused = isinstance(event, e.WorkerPaused)
        elif isinstance(event, e.WorkerMoved):
            self.batch = event.batch
        elif isinstance(event, e.WorkerLost):
            self.lost = True

    def _accept(self, order: e.Order) -> None:
        bare = e.Order(
            submission=order.submission,
            spec=order.spec,
            batch=order.batch,
            user=order.user,
            starts=(),
            publish_of=order.publish_of,
        )
        submission, spec = order.submission, order.spec
        simple = not (spec.inputs or spec.resources or spec.container or spec.checkpoint or order.publish_of)
        usual = asked(spec, spec.memory)
        for start in order.starts:
            name = attempt_id(submission, start.index, start.n)
            if name in self.held:
                continue
            attempt = Attempt(id=name, order=bare, start=start)
            self.held[name] = attempt
            if usual or start.memory:
                self.ask(attempt, None if start.memory else usual)
            if simple or not (order.publish_of or attempt.stages):
                attempt.phase = "ready"
                self.ready.append(attempt)
            elif order.publish_of:
                attempt.phase = "delivered"  # by another attempt, and leave was given then
                self._grant(attempt)
            else:
                self.to_stage.append(attempt)

    def _recall(self, name: AttemptId) -> list[Act]:
        attempt = self.held.get(name)
        if attempt is None or attempt.phase not in (*_BEFORE, "launched"):
            return []
        attempt.recalled = True
        if attempt.phase == "launched":
            return [Act("withdraw", attempt)]
        return self._give_up(attempt, "recalled")

    def _signal(self, name: AttemptId, event: e.AttemptsSignalled, now: float) -> list[Act]:
        attempt = self.held.get(name)
        if attempt is None:
            return []
        if event.signal:
            # one that is only `launched` for all we know may run already: the spawner and the engine know
            return [Act("send", attempt, signal=event.signal)] if attempt.phase in HANDED else []
        match event.wanted:
            case "publish":
                self._grant(attempt)
                return []
            case "stop" | "kill" | "checkpoint":
                return self._stop(attempt, event.wanted)
            case "pause" | "run":
                return self._freeze(attempt, event.wanted, now)

    def evict(self, at: float, now: float) -> list[Act]:
        """The host is taken away at `at` (0: it is not): what does not run is given back, what runs saves its checkpoint.

        Told again, it concerns what has come since.
        """
        self.limits.leaving = at
        acts: list[Act] = []
        for attempt in list(self.held.values()) if at else ():
            if attempt.phase == "running":
                acts += self._stop(attempt, "checkpoint")
            elif not attempt.recalled:
                acts += self._recall(attempt.id)
        left = at - now
        if left < -_PAST:
            left = _SHORTEST
        left = max(1.0, left - _SPARE)
        return [act._replace(grace=min(act.grace, left)) for act in acts]

    def _grant(self, attempt: Attempt) -> None:
        if not attempt.granted:
            attempt.granted = True
            if attempt.phase == "delivered":
                self.granted.append(attempt)

    def _stop(self, attempt: Attempt, wanted: Wanted) -> list[Act]:
        if wanted == "checkpoint" and (
            attempt.wanted in OVER or attempt.phase not in (*_BEFORE, "launched", "running")
        ):
            return []  # it is being stopped, or it has its results already
        attempt.wanted = "kill" if attempt.wanted == "kill" else wanted  # nothing makes that milder
        if attempt.phase in HANDED:
            return [self._terminate(attempt)]
        return self._give_up(attempt, "cancelled")

    @staticmethod
    def _terminate(attempt: Attempt) -> Act:
        """How its task wants to be asked to stop; a kill asks nothing."""
        spec = attempt.order.spec
        return Act("terminate", attempt, 0 if attempt.wanted == "kill" else spec.grace, spec.stop_signal)

    def _freeze(self, attempt: Attempt, wanted: Wanted, now: float) -> list[Act]:
        if attempt.wanted in (wanted, *OVER):
            return []
        attempt.wanted = wanted
        match attempt.phase:
            case "launched" if wanted == "pause":
                return [Act("withdraw", attempt)]
            case "running":
                self.pending.moved(attempt.id, "running", now, paused=wanted == "pause")
                return [Act("freeze" if wanted == "pause" else "thaw", attempt)]
            case _:
                return []

    def _give_up(self, attempt: Attempt, outcome: Literal["recalled", "cancelled"]) -> list[Act]:
        """End an attempt that has no process; a transfer under way is cancelled, where it had one it keeps its results."""
        result = attempt.result or e.Ended(attempt.id, outcome)
        if attempt.wanted == "checkpoint" and outcome == "cancelled":
            self.end(attempt, changed(result, outcome="failed", cause="evicted", reason=EVICTED, files=0))
            return [Act("cancel", attempt)]
        cause: Literal["operator"] | None = "operator" if outcome == "cancelled" else None
        self.end(attempt, changed(result, outcome=outcome, cause=cause, files=0))
        return [Act("cancel", attempt)]

    # --- what happens here ---

    def next_to_stage(self, most: int) -> list[Attempt]:
        """Up to `most` attempts whose transfer begins now, oldest first."""
        chosen: list[Attempt] = []
        while self.to_stage and len(chosen) < most and not self.limits.closed:
            attempt = self.to_stage.popleft()
            if attempt.phase == "accepted" and attempt.id in self.held:
                chosen.append(attempt)
        return chosen

    def staging(self, attempt: Attempt, now: float) -> None:
        """Its transfer began."""
        attempt.phase, attempt.staging_at = "staging", now
        self.pending.moved(attempt.id, "staging", now)

    def staged(self, attempt: Attempt, size: int) -> None:
        """All it needs is here: `size` bytes were moved."""
        if attempt.phase == "staging" and attempt.id in self.held:
            attempt.phase, attempt.staged_bytes = "ready", size
            self.ready.append(attempt)

    def withdrawn(self, attempt: Attempt) -> list[Act]:
        """Its process will not start after all: it ends if that was the wish, else it waits for its turn again."""
        if attempt.phase != "launched":
            return []
        self.released(attempt)
        attempt.phase = "ready"
        if attempt.wanted in OVER:
            return self._give_up(attempt, "cancelled")
        if attempt.recalled:
            return self._give_up(attempt, "recalled")
        self.ready.appendleft(attempt)
        return []

    def started(self, attempt: Attempt, at: float) -> list[Act]:
        """Its process runs since `at`; one that was to pause before it started is frozen now."""
        if attempt.phase != "launched":
            return []
        attempt.phase, attempt.started_at = "running", at
        if self.limits.leaving:
            self.pending.moved(attempt.id, "running", at)
            return self.evict(self.limits.leaving, at)
        pause = attempt.wanted == "pause"
        self.pending.moved(attempt.id, "running", at, paused=pause)
        return [Act("freeze", attempt)] if pause else []

    def exited(self, attempt: Attempt, result: e.Ended) -> None:
        """Its process is over with this result; it keeps its place here until `end`. The slot is free."""
        if attempt.phase in HANDED:
            self.released(attempt, disk=True)
            attempt.phase, attempt.result = "delivering", result

    def delivering(self, attempt: Attempt, now: float) -> None:
        """Its transfer out began."""
        self.pending.moved(attempt.id, "delivering", now)

    def waits(self, attempt: Attempt, state: Literal["staging", "delivering"], now: float, reason: str) -> None:
        """Its transfer failed and is tried again."""
        self.pending.hindered(attempt.id, state, now, reason)

    def delivered(self, attempt: Attempt, files: tuple[OutputFile, ...], size: int) -> None:
        """Its outputs are complete where only it looks: it asks leave to publish them."""
        if attempt.phase == "delivering" and attempt.id in self.held:
            attempt.phase, attempt.files, attempt.delivered_bytes = "delivered", files, size
            self.pending.delivered(attempt.id, files)
            if attempt.granted:
                self.granted.append(attempt)

    def next_to_publish(self) -> list[Attempt]:
        """Delivered attempts that were given leave; they are `publishing` when this returns."""
        chosen = [a for a in self.granted if a.phase == "delivered" and a.id in self.held]
        for attempt in chosen:
            attempt.phase = "publishing"
        self.granted.clear()
        return chosen

    def end(self, attempt: Attempt, result: e.Ended) -> None:
        """It is over and holds nothing here any more; a second end is ignored."""
        if self.held.pop(attempt.id, None) is None:
            return
        if attempt.phase in HANDED:
            self.released(attempt)
        if self.asking:
            self.ask_no_more(attempt)
        self.pending.ended(result)

    # --- restart ---

    def rebuilt(self) -> "Attempts":
        """The same attempts with queues and counters made anew: what a restarted agent goes on with.

        Unfinished staging begins again; what was handed over keeps its slot until spawner and engine say otherwise.
        """
        fresh = Attempts(self.slots)
        fresh.prefetch, fresh.paused, fresh.heard = self.prefetch, self.paused, self.heard
        fresh.prefetch_percent, fresh.batch = self.prefetch_percent, self.batch
        fresh.resized, fresh.errands = self.resized, self.errands
        fresh.pending = self.pending.only_ends()
        for attempt in self.held.values():
            fresh.held[attempt.id] = attempt
            fresh.ask(attempt)
            if attempt.phase in ("accepted", "staging"):
                attempt.phase = "accepted"
                fresh.to_stage.append(attempt)
            elif attempt.phase == "ready":
                fresh.ready.append(attempt)
            elif attempt.phase in HANDED:
                fresh.launched(attempt)
            elif attempt.phase == "delivered" and attempt.granted:
                fresh.granted.append(attempt)
        return fresh

    def overdue_acts(self) -> list[Act]:
        """What is wanted of processes and may not have been done when the agent died; harmless if it was."""
        acts: list[Act] = []
        for attempt in self.held.values():
            if attempt.phase not in HANDED:
                continue
            if attempt.wanted in OVER:
                acts.append(self._terminate(attempt))
            elif attempt.wanted == "pause":
                acts.append(Act("freeze", attempt))
            if attempt.recalled:
                acts.append(Act("withdraw", attempt))
        return acts

    def check(self) -> None:
        """Every counter and queue recounted from the attempts themselves; AssertionError says which is wrong."""
        self.check_taken()
        leave = {a.id for a in self.granted if a.phase == "delivered" and a.id in self.held}
        assert leave == {a.id for a in self.held.values() if a.phase == "delivered" and a.granted}, "granted"
        queued = {a.id for a in self.to_stage if a.phase == "accepted" and a.id in self.held}
        assert queued == {a.id for a in self.held.values() if a.phase == "accepted"}, "to stage"
