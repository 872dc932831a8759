"""Routes by which tasks are submitted: one, an array, or many different ones with an outcome for each.

A submission is in the log when this answers, whatever becomes of PostgreSQL meanwhile. What must not enter: which tasks can
run (the dispatcher says), other wishes.
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, Router, post
from litestar.di import Provide
from litestar.params import QueryParameter, RawBody

from longshore_api.adapters import bodies, naming
from longshore_api.adapters.asking import How, TheHow, how, pen
from longshore_api.adapters.doors import House, submitters
from longshore_api.adapters.http_steer import batch_name
from longshore_api.adapters.idempotency import event_id
from longshore_api.adapters.present import reasons
from longshore_api.adapters.taking import Wrong, fault_of, taken, wrong
from longshore_api.adapters.views import Fault
from longshore_common import events as e
from longshore_common import model as m
from longshore_common.damage import DAMAGED
from longshore_common.errors import LongshoreError
from longshore_common.parts import parts, size_of
from longshore_common.ties import Tied

#: Bytes of a submission at most.
LARGEST: Final = 64 << 20
#: Tasks of one submission at most, as in the dispatcher.
MOST: Final = 10_000_000
#: Faults told of one request; the rest are as likely the same.
TOLD: Final = 100
#: Parts on their way to the log at once.
_IN_FLIGHT: Final = 4

Partial = Annotated[bool, QueryParameter(description="Submit those tasks that are well-formed, and tell of the others")]

_task: Final = msgspec.json.Decoder(bodies.Task).decode


@post(
    "/submissions", status_code=202, summary="Submit tasks: one, an array, or many", tags=["submissions"],
    request_max_body_size=LARGEST, opt={"takes": bodies.NewSubmission},
)  # fmt: skip
async def submit(how: TheHow, body: RawBody, *, partial: Partial = False) -> Response[bodies.SubmittedReceipt]:
    """All of it or, with `partial`, what of it is well-formed. `wait` waits for a dispatcher to accept it."""
    try:
        asked = taken(body, bodies.NewSubmission)
        items: list[bodies.Outcome] = []
    except Wrong as err:
        if not err.faults[0].field.startswith("tasks["):
            raise
        asked, items = _one_by_one(body, partial=partial)
    receipt = await _submitted(how, asked)
    if partial:
        receipt.items = _placed(items or [bodies.Outcome(k) for k in range(len(asked.tasks))], receipt.id)
    if how.wait:
        await _answered(how.house, receipt, how.wait)
    return Response(receipt, status_code=202 if receipt.status == "submitted" else 200)


def _one_by_one(body: bytes, *, partial: bool) -> tuple[bodies.NewSubmission, list[bodies.Outcome]]:
    """What can be read of a body of which something cannot, and an outcome for each task; `Wrong` with all faults."""
    raw = taken(body, bodies.RawSubmission)
    good: list[bodies.Task] = []
    items: list[bodies.Outcome] = []
    for index, one in enumerate(raw.tasks):
        try:
            good.append(_task(one))
            items.append(bodies.Outcome(index))
        except DAMAGED as err:
            items.append(bodies.Outcome(index, errors=[fault_of(err, f"tasks[{index}]")]))
    faults = [fault for item in items for fault in item.errors]
    if not partial or not good:
        raise Wrong(faults[:TOLD])
    if any(task.requires for task in good):
        raise wrong(
            "tasks", "tasks that require each other are submitted together: mend all of them, or leave partial out"
        )
    rest = {name: getattr(raw, name) for name in bodies.Tasks.__struct_fields__}
    return bodies.NewSubmission(**rest, tasks=good), items


def _placed(items: list[bodies.Outcome], submission: int) -> list[bodies.Outcome]:
    """The outcomes with the ids of those that are tasks now."""
    ordinal = 0
    for item in items:
        if not item.errors:
            item.task = f"{submission}.{ordinal}"
            ordinal += 1
    return items


async def _submitted(how: How, asked: bodies.NewSubmission) -> bodies.SubmittedReceipt:
    _check(asked)
    once = how.once
    if once and how.house.keys and (known := await how.house.keys.answer(once)):
        return msgspec.json.decode(known, type=bodies.SubmittedReceipt)
    key = how.key or secrets.token_hex(16)
    requires = await naming.ranges(how.house, asked.requires) if asked.requires else ()
    wish = e.TasksSubmitted(
        key=key,
        batch=batch_name(asked.batch),
        body=m.Parts(parts=0, size=0),
        name=asked.name,
        priority=asked.priority,
        requires=requires,
        requires_any_outcome=asked.requires_any_outcome,
        max_running=asked.max_running,
        held=asked.hold,
        each_requires=asked.requires_each,
        on_failed_requirement=asked.on_failed_requirement,
        tags=asked.tags,
        description=asked.description,
    )
    body = _array(asked, asked.task) if asked.task is not None else await _different(how, key, asked.tasks)
    event = msgspec.structs.replace(wish, body=body)
    seq = await pen(how.house).wish(how.visitor.user, event, event_id(how.visitor.user, key))
    receipt = bodies.SubmittedReceipt(seq=seq, id=seq, size=size_of(body), key=key)
    if once and how.house.keys:
        await how.house.keys.keep(once, msgspec.json.encode(receipt))
    return receipt


def _check(asked: bodies.NewSubmission) -> None:
    """What the log could hold and nobody could mean; `Wrong` with all of it."""
    faults = []
    if (asked.task is None) == (not asked.tasks):
        faults.append(Fault("tasks", "give one task as `task`, or different ones as `tasks`"))
    if asked.tasks and (asked.size is not None or asked.entries):
        faults.append(Fault("size", "an array is of one `task`: leave size and entries out, or tasks"))
    if asked.size is not None and not 1 <= asked.size <= MOST:
        faults.append(Fault("size", f"give 1 to {MOST}"))
    if asked.entries and asked.size not in (None, len(asked.entries)):
        faults.append(Fault("entries", f"there are {len(asked.entries)} for {asked.size} tasks: give one entry each"))
    if asked.max_running < 0:
        faults.append(Fault("max_running", "give 0 (no limit) or a positive number"))
    if asked.step == 0 and (asked.size or len(asked.entries)) > 1:
        faults.append(Fault("step", "all tasks would have the same index: give another step"))
    if faults:
        raise Wrong(faults)


def _array(asked: bodies.NewSubmission, task: m.TaskSpec) -> m.Array:
    size = asked.size or len(asked.entries) or 1
    return m.Array(spec=task, size=size, start=asked.start, step=asked.step, entries=tuple(asked.entries))


async def _different(how: How, key: str, tasks: Sequence[bodies.Task]) -> m.Body:
    """Different tasks as one body, or as parts that go before it, some at once."""
    runs = list(parts(map(_tied, tasks)))
    if len(runs) == 1:
        return m.Specs(specs=runs[0].specs, edges=runs[0].edges)
    turn = asyncio.Semaphore(_IN_FLIGHT)

    async def send(n: int, event: e.SubmissionPartSent) -> None:
        async with turn:
            await pen(how.house).wish(how.visitor.user, event, event_id(how.visitor.user, key, n + 1))

    sent = [e.SubmissionPartSent(key=key, part=n, specs=run.specs, edges=run.edges) for n, run in enumerate(runs)]
    await asyncio.gather(*(send(n, event) for n, event in enumerate(sent)))
    return m.Parts(parts=len(runs), size=len(tasks), edges=sum(len(run.edges) for run in runs))


_set: Final = msgspec.structs.force_setattr


def _tied(task: bodies.Task) -> m.TaskSpec | Tied:
    """A task as the log has it; what is left without its ties is a plain spec, to the byte."""
    if task.id is None and not task.requires:
        return task
    name, requires = task.id, task.requires
    _set(task, "id", None)
    _set(task, "requires", ())
    return Tied(task, name, requires)


async def _answered(house: House, receipt: bodies.SubmittedReceipt, wait: float) -> None:
    """What a dispatcher says of it, if it does so in time and the read model answers."""
    until = asyncio.get_running_loop().time() + wait
    try:
        while (left := until - asyncio.get_running_loop().time()) > 0:
            position = house.progress.position
            if position >= receipt.seq:
                row = await house.reader.submission(receipt.id)
                if row["status"] != "submitted":
                    return _told(receipt, row)
            await house.progress.passed(max(position + 1, receipt.seq), left)
    except LongshoreError:
        return


def _told(receipt: bodies.SubmittedReceipt, row: Any) -> None:
    receipt.status, receipt.reason, receipt.duplicate_of = row["status"], row["reason"] or None, row["duplicate_of"]
    if receipt.status == "rejected" and row["by_index"]:
        receipt.items = [_rejected(index, why) for index, why in reasons(row["by_index"])[:TOLD]]


def _rejected(index: int, why: str) -> bodies.Outcome:
    return bodies.Outcome(index, errors=[Fault(f"tasks[{index}]", why)])


router: Final = Router("/", route_handlers=[submit], guards=[submitters], dependencies={"how": Provide(how)})
