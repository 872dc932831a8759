"""Routes by which admins steer hosts and what governs all: workers, shares, the policy. Each is a wish.

What must not enter: what a wish does.
"""

from typing import Any, Final, Literal

import msgspec
from litestar import Response, Router, delete, patch, put
from litestar.di import Provide
from litestar.params import FromPath, RawBody

from longshore_api.adapters import bodies
from longshore_api.adapters.asking import TheHow, how, wished
from longshore_api.adapters.doors import admins
from longshore_api.adapters.http_steer import batch_name, steering
from longshore_api.adapters.taking import known, taken, wrong
from longshore_common import events as e
from longshore_common.ids import TOKEN, WorkerId
from longshore_common.model import Policy, Share

Kind = Literal["batch", "user"]


def _workers(names: list[str]) -> tuple[WorkerId, ...]:
    for k, name in enumerate(names):
        if not TOKEN.fullmatch(name):
            raise wrong(f"workers[{k}]", "this names no worker: use 1-63 of a-z, 0-9, '-' and '_'")
    return tuple(map(WorkerId, names))


@steering("/workers/pause", bodies.PauseWorkers, "Assign nothing more to workers", "workers")
async def pause(how: TheHow, body: RawBody) -> Response[bodies.Receipt]:
    """To these, or to all; with `drain` so that they become empty for good."""
    asked = taken(body, bodies.PauseWorkers)
    return await wished(how, [e.WorkerPauseRequested(workers=_workers(asked.workers), drain=asked.drain)])


@steering("/workers/resume", bodies.Workers, "Undo a pause of workers", "workers")
async def resume(how: TheHow, body: RawBody) -> Response[bodies.Receipt]:
    """Of these, or of all."""
    asked = taken(body, bodies.Workers)
    return await wished(how, [e.WorkerResumeRequested(workers=_workers(asked.workers))])


@steering("/workers/resize", bodies.ResizeWorkers, "Change slots and prefetch of workers", "workers")
async def resize(how: TheHow, body: RawBody) -> Response[bodies.Receipt]:
    """Lowering never kills."""
    asked = taken(body, bodies.ResizeWorkers)
    event = e.WorkerResizeRequested(
        workers=_workers(asked.workers),
        concurrency=asked.concurrency,
        prefetch=asked.prefetch,
        prefetch_percent=asked.prefetch_percent,
    )
    if event.concurrency is None and event.prefetch is None and event.prefetch_percent is None:
        raise wrong("concurrency", "say what to change: concurrency, prefetch or prefetch_percent")
    return await wished(how, [event])


@steering("/workers/move", bodies.MoveWorkers, "Workers shall serve another batch", "workers")
async def move(how: TheHow, body: RawBody) -> Response[bodies.Receipt]:
    """What they hold, they finish."""
    asked = taken(body, bodies.MoveWorkers)
    batch = asked.batch if asked.batch == "*" else batch_name(asked.batch)
    return await wished(how, [e.WorkerMoveRequested(batch=batch, workers=_workers(asked.workers))])


@steering("/workers/care", bodies.CareWorkers, "Workers shall look after their hosts", "workers")
async def care(how: TheHow, body: RawBody) -> Response[bodies.Receipt]:
    """Clean up, forget resources, remove images, restart, examine; GET /requests/{seq}?cared=true tells what came of it."""
    asked = taken(body, bodies.CareWorkers)
    return await wished(how, [e.WorkerCareRequested(care=asked.care, workers=_workers(asked.workers))])


@put(
    "/shares/{kind:str}/{name:str}", status_code=202, summary="What a batch or user gets beside others",
    tags=["governing"], opt={"takes": bodies.ShareChange},
)  # fmt: skip
async def set_share(how: TheHow, kind: FromPath[Kind], name: FromPath[str], body: RawBody) -> Response[bodies.Receipt]:
    """Null leaves a value as it is."""
    asked = taken(body, bodies.ShareChange)
    if asked.weight is None and asked.max_running is None:
        raise wrong("weight", "say what to change: weight, max_running or both")
    event = e.ShareRequested(kind=kind, name=_named(kind, name), weight=asked.weight, max_running=asked.max_running)
    return await wished(how, [event])


@delete(
    "/shares/{kind:str}/{name:str}", status_code=202, summary="A batch or user gets what any other gets",
    tags=["governing"],
)  # fmt: skip
async def usual_share(how: TheHow, kind: FromPath[Kind], name: FromPath[str]) -> Response[bodies.Receipt]:
    """Weight 1, and any number of tasks at once."""
    event = e.ShareRequested(kind=kind, name=_named(kind, name), weight=Share().weight, max_running=Share().max_running)
    return await wished(how, [event])


def _named(kind: str, name: str) -> str:
    return batch_name(name, "name") if kind == "batch" else name


@put("/policy", status_code=202, summary="Replace the policy", tags=["governing"], opt={"takes": Policy})
async def set_policy(how: TheHow, body: RawBody) -> Response[bodies.Receipt]:
    """What is left out is as it comes."""
    return await wished(how, [e.PolicyRequested(policy=taken(body, Policy))])


@patch("/policy", status_code=202, summary="Change values of the policy", tags=["governing"], opt={"takes": Policy})
async def change_policy(how: TheHow, body: RawBody) -> Response[bodies.Receipt]:
    """What is left out stays as it is; null = as it comes. Of `trouble`, single causes."""
    changes: dict[str, Any] = taken(body, dict[str, Any])
    rows = await how.house.reader.governing("policy")
    now = msgspec.json.decode(rows[0]["value"], type=dict[str, Any]) if rows else {}
    if isinstance(trouble := changes.get("trouble"), dict):
        changes["trouble"] = {k: v for k, v in (now.get("trouble", {}) | trouble).items() if v is not None}
    made = {k: v for k, v in (now | changes).items() if v is not None}
    if odd := sorted(made.keys() - set(Policy.__struct_fields__)):
        raise wrong(odd[0], f"the policy has no such value, but {', '.join(Policy.__struct_fields__)}")
    return await wished(how, [e.PolicyRequested(policy=known(made, Policy, ""))])


router: Final = Router(
    "/",
    route_handlers=[pause, resume, resize, move, care, set_share, usual_share, set_policy, change_policy],
    guards=[admins],
    dependencies={"how": Provide(how)},
)
