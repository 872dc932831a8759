"""Which submissions cannot run at all, told to the user with the index and the fix.

What must not enter: whether a host, image or file exists; that is found out where the task runs.
"""

import re
from collections.abc import Sequence
from typing import Final

from longshore_common import confidential, inside
from longshore_common.ids import TOKEN
from longshore_common.model import Array, Request, Retention, TaskSpec
from longshore_dispatcher.core import budgets

#: Largest submission, in tasks.
MAX_SIZE = 10_000_000
#: Linux passes at most this many bytes in one argument or variable (MAX_ARG_STRLEN less the ending NUL).
MAX_ARGUMENT = 131_071
#: Bytes of one whole spec: commands beyond it do not start on Linux (ARG_MAX), and an order must fit in one message.
MAX_SPEC = 1_500_000
#: What a spec says that says nothing of its grace.
GRACE: Final = TaskSpec(command=()).grace
#: More of anything that a host is asked for is no request but a slip.
MOST_AMOUNT: Final = 10**15
#: What a resource that the operator names can be called; as in LONGSHORE_CUSTOM of an agent.
RESOURCE: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
#: Problems told per submission; the rest are as likely the same.
TOLD = 20


def problem(spec: TaskSpec) -> str:
    """What is wrong with this spec, "" if nothing is."""
    command = spec.command
    if not command or not command[0]:
        return "the command is empty: give at least a program"
    if not plain(spec) and (found := _asked(spec) or _texts(spec) or _secrets_fault(spec) or budgets.spec_fault(spec)):
        return found
    if inside.several(spec) and (found := inside.fault(spec)):
        return found
    total = 0
    for argument in command:
        total += len(argument)
        if "\0" in argument:
            return "an argument of the command holds a NUL byte, which no program can be given: remove it"
        if len(argument) > MAX_ARGUMENT // 4 and len(argument.encode(errors="replace")) > MAX_ARGUMENT:
            return (
                f"an argument of the command has {len(argument)} characters; Linux passes at most {MAX_ARGUMENT} bytes "
                "in one: put it into a file and give that as an input"
            )
    if total > MAX_SPEC:
        return f"the command has {total} characters in all, at most {MAX_SPEC} can be started: put it into a file"
    return ""


def plain(spec: TaskSpec) -> bool:
    """Whether the spec is a bare command with nothing else that could be wrong."""
    return not (
        spec.env or spec.inputs or spec.resources or spec.output or spec.container or spec.container_options
        or spec.cpus or spec.memory or spec.gpus or spec.disk or spec.retries or spec.run_timeout
        or spec.download_timeout or spec.upload_timeout or spec.uid or spec.gid or spec.secrets or spec.name
        or spec.checkpoint or spec.stop_signal or spec.grace != GRACE or spec.custom or spec.alternatives
        or spec.retry_on or spec.retry_exits or spec.fail_exits or spec.backoff or inside.several(spec)
    )  # fmt: skip


def _asked(spec: TaskSpec) -> str:
    numbers = {
        "cpus": spec.cpus, "memory": spec.memory, "gpus": spec.gpus, "disk": spec.disk, "retries": spec.retries,
        "run timeout": spec.run_timeout, "download timeout": spec.download_timeout,
        "upload timeout": spec.upload_timeout, "uid": spec.uid or 0, "gid": spec.gid or 0, "grace": spec.grace,
    }  # fmt: skip
    for name, value in numbers.items():
        if not 0 <= value < 2**53:
            return f"{name} is {value}: give 0 (none) or a positive number"
    requests: tuple[TaskSpec | Request, ...] = (spec, *spec.alternatives)
    return next((fault for fault in map(_request_fault, requests) if fault), "")


def _request_fault(request: TaskSpec | Request) -> str:
    """What is wrong with amounts that a host is asked for, "" if nothing is."""
    amounts = {"cpus": request.cpus, "memory": request.memory, "gpus": request.gpus, "disk": request.disk}
    for name, value in (*amounts.items(), *request.custom.items()):
        if not 0 <= value <= MOST_AMOUNT:
            return f"{name[:80]} is {value}: give 0 (none) or a positive number"
    if wrong := [name for name in request.custom if not RESOURCE.fullmatch(name)]:
        return f"{wrong[0][:80]!r} can name no resource: use 1-63 of a-z, 0-9, '.', '-' and '_'"
    return ""


def _texts(spec: TaskSpec) -> str:
    uris = (*spec.inputs, *spec.resources, *([spec.output] if spec.output is not None else []))
    if not all(uris):
        return "an input, resource or output is empty: give a URI, or leave it out"
    for name in spec.env:
        if not name or "=" in name:
            return f"{name!r} cannot name a variable of the environment: it must not be empty nor hold '='"
    texts = (*uris, *spec.env, *spec.env.values(), *spec.container_options, *spec.secrets)
    texts += (spec.container or "", spec.name or "", spec.checkpoint, spec.stop_signal)
    if spec.use_cache and spec.output is None:
        return "what is used again are outputs: give an output too, or leave use_cache out"
    if spec.checkpoint and spec.output is None:
        return "a checkpoint is kept with the output: give an output too, or leave the checkpoint out"
    if any("\0" in text for text in texts):
        return "a URI, variable or option holds a NUL byte: remove it"
    if any(len(text) > MAX_ARGUMENT // 4 for text in texts) or sum(map(len, texts)) > MAX_SPEC:
        return f"a URI, variable or option is too long (more than {MAX_ARGUMENT // 4} characters, or {MAX_SPEC} in all)"
    return ""


def _secrets_fault(spec: TaskSpec) -> str:
    """What is wrong with the secrets that it names, "" if nothing is."""
    if fault := next(filter(None, map(confidential.fault, spec.secrets)), ""):
        return fault
    if both := [name for name in spec.secrets if name in spec.env]:
        return f"{both[0]} is both a secret and a variable of the environment: leave one of them out"
    return ""


def problems(specs: Sequence[TaskSpec], first: int = 0) -> list[tuple[int, str]]:
    """(index, what is wrong) of the first few bad specs; indices count from `first`."""
    found = []
    for index, spec in enumerate(specs, first):
        if why := problem(spec):
            found.append((index, why))
            if len(found) == TOLD:
                break
    return found


def array_fault(body: Array) -> str:
    """What is wrong with the shape of an array, "" if nothing is."""
    if body.entries and len(body.entries) != body.size:
        return f"the array has {body.size} tasks but {len(body.entries)} entries: give one entry each"
    if body.step == 0 and body.size > 1:
        return "the array's step is 0: all its tasks would have the same index"
    if any("\0" in entry for entry in body.entries):
        return "an entry of the array holds a NUL byte: remove it"
    if any(len(entry) > MAX_ARGUMENT // 4 for entry in body.entries):
        return f"an entry of the array has more than {MAX_ARGUMENT // 4} characters: put it into a file"
    return ""


def batch_fault(batch: str) -> str:
    """What is wrong with a batch's name, "" if nothing is."""
    if TOKEN.fullmatch(batch):
        return ""
    return f"{batch[:80]!r} cannot name a batch: use 1-63 of a-z, 0-9, '-' and '_', beginning with a letter or digit"


def retention_fault(retention: Retention) -> str:
    """What is wrong with these times, "" if nothing is."""
    for name in ("outputs", "logs", "failed", "inputs"):
        if not 0 <= getattr(retention, name) < 2**40:
            return f"{name} cannot be kept for {getattr(retention, name)} s: give 0 (for ever) or a positive number"
    return ""


def size_fault(size: int) -> str:
    """What is wrong with a submission's size, "" if nothing is."""
    if size < 1:
        return "there are no tasks in it: submit at least one"
    if size > MAX_SIZE:
        return f"{size} tasks are more than the {MAX_SIZE} that one submission may hold: split it"
    return ""
