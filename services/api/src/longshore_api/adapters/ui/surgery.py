"""An edit of a task that has not started: what in its form is not as it was. What must not enter: what it does."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Request, Response, post

from longshore_api.adapters.doors import TheHouse, submitters
from longshore_api.adapters.ui.acting import said, wished
from longshore_api.adapters.ui.entry import TheForm
from longshore_api.adapters.ui.submit import spec_of
from longshore_common import events as e
from longshore_common.errors import NotFound
from longshore_common.ids import TaskRange, split_task
from longshore_common.model import Change, TaskSpec

#: What the form has.
FIELDS: Final = ("command", "container", "cpus", "memory", "gpus", "disk", "retries", "run_timeout")


@post("/act/edit", include_in_schema=False, status_code=200, guards=[submitters])
async def edited(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[Any]:
    """What is as it was is not said."""
    task = str(form.get("task") or "")
    submission, index = split_task(task)
    (of,) = await house.reader.details([await house.reader.task(submission, index)])
    if of.spec is None:
        raise NotFound(f"what {task} was to run is not known")
    change = changed(of.spec, {name: str(form.get(name) or "").strip() for name in FIELDS})
    if not change.set:
        return said(request, "Nothing was changed.", kind="warn")
    wish = e.EditRequested(change=change, tasks=(TaskRange(submission, index, index),))
    return await wished(request, house, [wish], f"Asked to change {', '.join(change.set)} of {task}")


def changed(spec: TaskSpec, given: Mapping[str, str]) -> Change:
    """The fields in which the form differs from the spec, as JSON values."""
    shell = {"shell": "1"} if spec.shell and len(spec.command) == 1 else {}
    wanted = spec_of({**given, **shell})
    new = {name: getattr(wanted, name) for name in FIELDS}
    return Change(set={n: msgspec.json.decode(msgspec.json.encode(v)) for n, v in new.items() if v != getattr(spec, n)})
