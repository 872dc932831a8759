"""Routes by which tasks and batches that are there are steered: each is a wish, whose answer is another event.

With `preview` nothing is changed and it is told what would be. What must not enter: what a wish does.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

from litestar import Response, Router, post, put
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter, RawBody

from longshore_api.adapters import bodies, naming
from longshore_api.adapters.asking import How, TheHow, how, previewed, wished
from longshore_api.adapters.doors import submitters
from longshore_api.adapters.taking import taken, wrong
from longshore_common import events as e
from longshore_common import model as m
from longshore_common.editing import fault
from longshore_common.ids import TOKEN

Previewing = Annotated[bool, QueryParameter(description="Change nothing, and tell what would be done")]


def steering(
    path: str, takes: type[Any], summary: str, tag: str = "tasks"
) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    """A route that takes such a body and answers with a receipt."""
    opt = {"takes": takes}
    return post(path, status_code=202, summary=summary, tags=[tag], opt=opt)


async def _steered(how: How, body: bodies.Named, make: Any, *, preview: bool = False) -> Response[Any]:
    """The wishes it takes for these tasks, `make(tasks=…, batch=…)` each; or what the first would do."""
    tasks, batch = await naming.meant(how.house, how.visitor, body)
    events = [make(tasks=chunk, batch=batch) for chunk in naming.chunks(tasks)]
    if preview:
        return Response(await previewed(how, events[0]), status_code=200)
    return await wished(how, events, tasks=sum(map(len, tasks)) if tasks else None)


@steering("/tasks/cancel", bodies.Cancel, "Tasks shall not run, or stop")
async def cancel(how: TheHow, body: RawBody, *, preview: Previewing = False) -> Response[bodies.Receipt]:
    """Of what runs, `stop` is asked and after its grace insisted on; with `kill` at once."""
    asked = taken(body, bodies.Cancel)
    return await _steered(how, asked, partial(e.CancelRequested, kill=asked.kill), preview=preview)


@steering("/tasks/retry", bodies.Named, "Failed and cancelled tasks shall run again, held ones be released")
async def retry(how: TheHow, body: RawBody, *, preview: Previewing = False) -> Response[bodies.Receipt]:
    """What waits or runs is left as it is."""
    return await _steered(how, taken(body, bodies.Named), e.RetryRequested, preview=preview)


@steering("/tasks/signal", bodies.Signal, "Send a signal to what runs")
async def signal(how: TheHow, body: RawBody) -> Response[bodies.Receipt]:
    """A pause also holds those that wait, and `continue` releases those that are held. Not of a whole batch."""
    asked = taken(body, bodies.Signal)
    if not asked.signal:
        raise wrong("signal", "name stop, kill, pause, continue, checkpoint or a signal such as SIGUSR1")
    return await _signalled(how, asked, asked.signal)


@steering("/tasks/hold", bodies.Named, "Hold what waits, pause what runs")
async def hold(how: TheHow, body: RawBody) -> Response[bodies.Receipt]:
    """Until a release."""
    return await _signalled(how, taken(body, bodies.Named), "pause")


@steering("/tasks/release", bodies.Named, "Release what is held, go on with what is paused")
async def release(how: TheHow, body: RawBody) -> Response[bodies.Receipt]:
    """The opposite of a hold."""
    return await _signalled(how, taken(body, bodies.Named), "continue")


async def _signalled(how: How, asked: bodies.Named, signal: str) -> Response[Any]:
    if asked.batch is not None:  # a signal names tasks: those of the batch that are not over
        asked.filter = bodies.Filter(batch=asked.batch, state="waiting,queued,assigned,staging,running,delivering")
        asked.batch = None
    return await _steered(how, asked, lambda tasks, batch: e.SignalRequested(tasks=tasks, signal=signal))


@steering("/tasks/edit", bodies.Edit, "Change what tasks are to run")
async def edit(how: TheHow, body: RawBody, *, preview: Previewing = False) -> Response[bodies.Receipt]:
    """As far as they have not started; what runs keeps what it was given."""
    asked = taken(body, bodies.Edit)
    change = m.Change(set=asked.set, substitutions=tuple(asked.substitutions))
    if why := fault(change):
        raise wrong("set", why)
    return await _steered(how, asked, partial(e.EditRequested, change=change), preview=preview)


@steering("/tasks/delete", bodies.Named, "Show ended tasks in no list any more")
async def delete(how: TheHow, body: RawBody, *, preview: Previewing = False) -> Response[bodies.Receipt]:
    """The archive still has them, and a restore shows them again."""
    return await _steered(how, taken(body, bodies.Named), e.DeleteRequested, preview=preview)


@steering("/tasks/restore", bodies.Named, "Show deleted tasks again")
async def restore(how: TheHow, body: RawBody, *, preview: Previewing = False) -> Response[bodies.Receipt]:
    """The opposite of a deletion."""
    make = partial(e.DeleteRequested, restore=True)
    return await _steered(how, taken(body, bodies.Named), make, preview=preview)


@steering("/undo", bodies.Undo, "Take back what a wish changed", "requests")
async def undo(how: TheHow, body: RawBody, *, preview: Previewing = False) -> Response[bodies.Receipt]:
    """As far as it can be taken back; an undo can be undone."""
    asked = taken(body, bodies.Undo)
    event = e.UndoRequested(request=asked.request)
    if preview:
        return Response(await previewed(how, event), status_code=200)  # type: ignore[arg-type]
    return await wished(how, [event])


@steering("/batches/{name:str}/pause", bodies.Pause, "Hand out no more of a batch", "batches")
async def pause(how: TheHow, name: FromPath[str], body: RawBody) -> Response[bodies.Receipt]:
    """With `freeze`, what runs is paused as well."""
    asked = taken(body, bodies.Pause)
    return await wished(how, [e.BatchPauseRequested(batch=batch_name(name), freeze=asked.freeze)])


@steering("/batches/{name:str}/resume", bodies.Body, "Undo a pause of a batch", "batches")
async def resume(how: TheHow, name: FromPath[str], body: RawBody) -> Response[bodies.Receipt]:
    """It is handed out again, and goes on."""
    taken(body, bodies.Body)
    return await wished(how, [e.BatchResumeRequested(batch=batch_name(name))])


@put(
    "/batches/{name:str}/retention", status_code=202, summary="How long what belongs to its ended tasks is kept",
    tags=["batches"], opt={"takes": m.Retention},
)  # fmt: skip
async def keep(how: TheHow, name: FromPath[str], body: RawBody) -> Response[bodies.Receipt]:
    """Seconds after a task ended, by kind; 0 = for ever."""
    wanted = taken(body, m.Retention)
    return await wished(how, [e.BatchRetentionRequested(batch=batch_name(name), retention=wanted)])


def batch_name(name: str, field: str = "batch") -> str:
    """The name itself if a batch can have it."""
    if not TOKEN.fullmatch(name):
        raise wrong(field, "use 1-63 of a-z, 0-9, '-' and '_', beginning with a letter or digit")
    return name


router: Final = Router(
    "/",
    route_handlers=[cancel, retry, signal, hold, release, edit, delete, restore, undo, pause, resume, keep],
    guards=[submitters],
    dependencies={"how": Provide(how)},
)
