"""How submissions and their parts become state.

What must not enter: refusals; what is wrong with a submission is noted in it for `decide` to answer.
"""

from itertools import groupby
from sys import intern

from longshore_common import events as e
from longshore_common.log import Recorded
from longshore_common.model import Array, Body, Parts, Specs, TaskSpec
from longshore_dispatcher.core import tying, validity
from longshore_dispatcher.core.content import Content, Need, blob_of, need_of, of_array, of_specs, shared_resources
from longshore_dispatcher.core.ranges import Ranges, of, whole
from longshore_dispatcher.core.state import Lot, Part, State, Submission, Wish
from longshore_dispatcher.core.state import Parts as Sent

#: Seconds after which parts without their closing event are forgotten.
PARTS_KEPT = 86_400


def submitted(state: State, record: Recorded, event: e.TasksSubmitted) -> None:
    """A submission to be answered; its tasks stand in no line yet."""
    user = intern(record.author.name)
    sub = Submission(
        id=record.seq, user=user, batch=intern(event.batch), key=event.key, size=event.body.size if not
        isinstance(event.body, Specs) else len(event.body.specs), at=record.at, content=Content(), lots=[],
        name=event.name, priority=event.priority, max_running=event.max_running, requires=event.requires,
        any_outcome=event.requires_any_outcome,
    )  # fmt: skip
    whose = f"{user}/{event.key}"
    state.keys.setdefault(whose, record.seq)
    sent = state.parts.pop(whose, None)
    _fill(state, sub, event.body, sent)
    tying.tie(sub, event, sent)
    if event.held:
        for lot in sub.lots:
            for run in lot.fresh.runs:
                sub.kept.add(*run)
            lot.fresh = Ranges()
    state.submissions[sub.id] = sub
    state.count_priority(sub.priority, 1)
    state.wishes[sub.id] = Wish(sub.id, user)


def part_sent(state: State, record: Recorded, event: e.SubmissionPartSent) -> None:
    """A part waits for its closing event; sent again it replaces itself."""
    for old in [key for key, sent in state.parts.items() if sent.at < record.at - PARTS_KEPT]:
        del state.parts[old]
    sent = state.parts.setdefault(f"{record.author.name}/{event.key}", Sent(record.at))
    blob, raw = blob_of(event.specs)
    needs = _needs(event.specs, record.author.name)
    problems, resources = validity.problems(event.specs), shared_resources(event.specs)
    delivers, fetches = _storage(event.specs)
    sent.parts[event.part] = Part(
        blob, len(event.specs), raw, needs, problems, resources, delivers, fetches, tying.packed(event.edges)
    )


def _fill(state: State, sub: Submission, body: Body, sent: Sent | None) -> None:
    sub.fault = validity.size_fault(sub.size) or validity.batch_fault(sub.batch)
    if sub.fault:
        return
    match body:
        case Array():
            sub.fault = validity.array_fault(body)
            sub.problems = [(0, why)] if (why := validity.problem(body.spec)) else []
            sub.content = of_array(body.spec, body.start, body.step, body.entries)
            sub.lots = [Lot(need_of(body.spec, sub.user), whole(sub.size))]
            sub.resources = shared_resources((body.spec,)) if body.spec.resources else ()
            sub.delivers, sub.fetches = _storage((body.spec,))
        case Specs():
            sub.problems = validity.problems(body.specs)
            sub.content = of_specs(body.specs)
            _lots(sub, _needs(body.specs, sub.user))
            sub.resources = shared_resources(body.specs)
            sub.delivers, sub.fetches = _storage(body.specs)
        case Parts():
            _from_parts(sub, body, sent, state.broken_parts.get(sub.user, ""))


def _storage(specs: tuple[TaskSpec, ...]) -> tuple[bool, bool]:
    """(whether any of them delivers outputs, whether any fetches inputs or resources)"""
    return any(spec.output is not None for spec in specs), any(spec.inputs or spec.resources for spec in specs)


def _needs(specs: tuple[TaskSpec, ...], user: str) -> list[tuple[int, Need]]:
    return [(sum(1 for _ in run), need) for need, run in groupby(need_of(spec, user) for spec in specs)]


def _from_parts(sub: Submission, body: Parts, sent: Sent | None, broken: str) -> None:
    parts = sent.parts if sent is not None else {}
    missing = [k for k in range(body.parts) if k not in parts]
    if missing or len(parts) != body.parts:
        there = f"part {missing[0]} of {body.parts} is" if missing else f"more than the {body.parts} parts told are"
        sub.fault = f"{there} {'missing' if missing else 'there'}: submit again with a new key" + (
            f" (unreadable: {broken})" if broken else ""
        )
        return
    ordered = [parts[k] for k in range(body.parts) if parts[k].count]  # some may hold edges only
    if (total := sum(p.count for p in ordered)) != sub.size:
        sub.fault = f"its parts hold {total} tasks, not {sub.size}: submit again with a new key"
        return
    firsts, at = [], 0
    for part in ordered:
        firsts.append(at)
        sub.problems += [(at + k, why) for k, why in part.problems][: validity.TOLD - len(sub.problems)]
        at += part.count
    weight = 48 + 2 * sum(p.raw for p in ordered) // sub.size
    sub.content = Content(blobs=[p.blob for p in ordered], firsts=firsts, weight=weight)
    _lots(sub, [run for part in ordered for run in part.needs])
    shared = set(ordered[0].resources).intersection(*(part.resources for part in ordered))
    sub.resources = tuple(sorted(shared))
    sub.delivers, sub.fetches = any(part.delivers for part in ordered), any(part.fetches for part in ordered)


def _lots(sub: Submission, needs: list[tuple[int, Need]]) -> None:
    """One lot per distinct need; `needs` are runs in order."""
    if len({need for _, need in needs}) == 1:
        sub.lots = [Lot(needs[0][1], whole(sub.size))]
        return
    runs: dict[Need, list[tuple[int, int]]] = {}
    number: dict[Need, int] = {}
    at = 0
    for count, need in needs:
        mine = runs.setdefault(need, [])
        k = number.setdefault(need, len(number))
        if sub.lot_of and sub.lot_of[-1] == k:
            mine[-1] = (mine[-1][0], at + count - 1)
        else:
            mine.append((at, at + count - 1))
            sub.lot_starts.append(at)
            sub.lot_of.append(k)
        at += count
    sub.lots = [Lot(need, of(mine)) for need, mine in runs.items()]


def unreadable(state: State, record: Recorded, reason: str) -> None:
    """What a user sent and nobody can read: a wish to be refused, or a part its closing event will miss."""
    if record.subject.endswith(".part"):
        state.broken_parts[record.author.name] = reason[:300]
    else:
        state.wishes[record.seq] = Wish(record.seq, record.author.name, malformed=reason[:1000])
