"""What the api takes and what it gives back for it: one struct per kind of body, strictly as spelled.

Sizes are bytes, durations seconds, tasks are named `1204.17`, `1204.0-99` or `1204`. What must not enter: answers to reads
(see `views`), decisions.
"""

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from longshore_api.adapters.views import Answer, Fault
from longshore_common import model as m

#: Tasks of one call; more are an array, or several calls.
MOST_TASKS: Final = 1_000_000


class Body(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of what is taken."""


class Filter(Body, kw_only=True):
    """Tasks for which all of this holds. `name` may hold `*` and `?`; states and causes are separated by commas.

    `user`: one's own tasks if it is not given, `*` = anybody's.
    """

    batch: str | None = None
    state: str | None = None
    name: str | None = None
    cause: str | None = None
    worker: str | None = None
    exit_code: int | None = None
    submission: int | None = None
    user: str | None = None


class Named(Body, kw_only=True):
    """Which tasks: by ids and ranges, all of one's own in a batch, or all that a filter admits; one of the three."""

    tasks: list[str] = []
    batch: str | None = None
    filter: Filter | None = None


class Cancel(Named, kw_only=True):
    """These shall not run, or stop; with `kill`, at once."""

    kill: bool = False


class Signal(Named, kw_only=True):
    """Send stop, kill, pause, continue, checkpoint or a Unix signal such as SIGUSR1 to what runs."""

    signal: str


class Edit(Named, kw_only=True):
    """Change these as far as they have not started: fields set (null = the default), then words replaced."""

    set: dict[str, Any] = {}
    substitutions: list[m.Substitution] = []


class Undo(Body, kw_only=True):
    """Take back what the wish at sequence `request` changed; 0: one's own last one."""

    request: int = 0


class Pause(Body, kw_only=True):
    """`freeze`: pause what runs as well."""

    freeze: bool = False


class Workers(Body, kw_only=True):
    """Workers by name; none named = all."""

    workers: list[str] = []


class PauseWorkers(Workers, kw_only=True):
    """`drain`: so that they become empty for good."""

    drain: bool = False


class ResizeWorkers(Workers, kw_only=True):
    """Slots and prefetch; null leaves a value, -1 = automatic. `prefetch_percent` of the slots replaces `prefetch`."""

    concurrency: int | None = None
    prefetch: int | None = None
    prefetch_percent: int | None = None


class MoveWorkers(Workers, kw_only=True):
    """They shall serve this batch, `*` = any."""

    batch: str


class CareWorkers(Workers, kw_only=True):
    """What they shall do for their hosts."""

    care: m.Care


class ShareChange(Body, kw_only=True):
    """What a batch or user shall get beside others; null leaves a value."""

    weight: float | None = None
    max_running: int | None = None


class Task(m.TaskSpec, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one of several tasks runs; `id` is what others of the submission may name in their `requires`, beside ordinals."""

    id: str | None = None
    requires: tuple[str | int, ...] = ()


class Tasks(Body, kw_only=True):
    """What all ways to submit have in common."""

    batch: str = "default"
    name: str | None = None
    priority: int = 0
    requires: list[str] = []
    requires_any_outcome: bool = False
    requires_each: bool = False
    on_failed_requirement: Literal["fail", "wait"] = "fail"
    max_running: int = 0
    hold: bool = False
    tags: dict[str, str] = {}
    description: str = ""


class NewSubmission(Tasks):
    """One `task`, an array of `size` of it (or one per entry of `entries`), or different `tasks`; all of them, or none.

    Task k of an array has LONGSHORE_INDEX = start + k*step, and LONGSHORE_ENTRY = entries[k].
    """

    task: m.TaskSpec | None = None
    size: int | None = None
    start: int = 0
    step: int = 1
    entries: list[str] = []
    tasks: list[Task] = []


class RawSubmission(Tasks):
    """The same with tasks that are read one by one, to tell what is wrong with each."""

    tasks: list[msgspec.Raw] = []


class Question(Body, kw_only=True):
    """What any dispatcher answers: `kind` is task, submission, batch, worker (why is it so), preview or demand."""

    id: str = ""
    kind: str = ""
    body: Any = None


class Outcome(Struct, omit_defaults=True):
    """What became of item `index` of a list: the task that it is, or why it is none."""

    index: int
    task: str | None = None
    errors: list[Fault] = []


class Receipt(Struct):
    """A wish is in the log at `seq` (at each of `seqs`, if it took several), and names so many tasks.

    `answer` is there if it was waited for; GET /requests/{seq} tells it later.
    """

    seq: int
    seqs: list[int]
    tasks: int | None = None
    answer: Answer | None = None


class SubmittedReceipt(Struct, kw_only=True):
    """A submission is in the log: `id` is its sequence, its tasks are `<id>.0` to `<id>.<size - 1>`.

    `status` is `submitted` till a dispatcher answers; waited for, it says accepted, rejected or duplicate.
    """

    seq: int
    id: int
    size: int
    key: str
    status: str = "submitted"
    reason: str | None = None
    duplicate_of: int | None = None
    items: list[Outcome] = []


class Preview(Struct):
    """What a wish would do as of sequence `seq`; `refused`: why nothing, or not all, of it."""

    seq: int
    outcomes: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    refused: str = ""


class Explanation(Struct):
    """Why something is as it is, and what to do; `eta`: when it will begin or be over, as far as that can be told."""

    id: str
    state: str
    reasons: list[dict[str, Any]] = []
    eta: dict[str, Any] | None = None


class Demand(Struct):
    """What waits, by batch, in which shapes and since when."""

    batches: list[dict[str, Any]] = []
