"""From the words of `longshore submit` to events, sent, and waited for if asked."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, get_args

import msgspec

from longshore import amounts, quantities, retries, specs
from longshore.chance import new_key
from longshore.cli.configured import configured
from longshore.cli.door import Door
from longshore.cli.printing import data, note, raw_lines
from longshore.lines import entries as entries_of
from longshore.lines import from_json_lines
from longshore_common import model as m
from longshore_common.errors import BadInput, Refused
from longshore_common.events import SubmissionPartSent, TasksSubmitted
from longshore_common.parts import parts
from longshore_common.ties import Tied

if TYPE_CHECKING:
    from longshore.records import Submitted
    from longshore.writer import Writer


#: Seconds after which `--spool` takes the log for away.
_SPOOL_AFTER = 2


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """The options as they were typed; see `longshore submit --help`."""

    command: list[str] = []
    batch: str | None = None
    name: str | None = None
    container: str | None = None
    container_option: list[str] = []
    inputs: list[str] = []
    resource: list[str] = []
    output: list[str] = []
    upload: bool = False
    requires: list[str] = []
    requires_any_outcome: bool
    requires_each: bool
    on_failed_requirement: str
    retry: int
    retry_on: list[str] = []
    no_retry_on: list[str] = []
    retry_exit: list[str] = []
    fail_exit: list[str] = []
    backoff: str
    shell: bool
    uid: int | None = None
    gid: int | None = None
    env: list[str] = []
    secret: list[str] = []
    use_cache: bool
    cpus: float
    memory: str
    gpus: int
    disk: str
    custom: list[str] = []
    otherwise: list[str] = []
    priority: int
    run_timeout: str
    download_timeout: str
    upload_timeout: str
    checkpoint: str | None = None
    stop_signal: str | None = None
    grace: str | None = None
    pull: str | None = None
    hold: bool
    array: str | None = None
    each_line: str | None = None
    each: str | None = None
    from_json: str | None = None
    test: bool
    wait: bool
    follow: bool
    spool: bool
    key: str | None = None
    quiet: bool


def send(given: Given) -> int:
    """Submit, print the id, and wait if asked; returns the exit code."""
    _refuse(given)
    if given.upload:
        given = _uploaded(given)
    door = Door()
    if given.from_json is not None:
        gc.disable()  # this process ends with it; looking for garbage among a million lines takes a third of the time
        with _lines(given.from_json) as lines:
            wish = _wish(door, given, m.Parts(parts=0, size=0), limit=0)
            made = from_json_lines(lines, _running(given))
            return _test_many(wish, made) if given.test else _send(door, given, wish, made)
    body, limit = _array(given)
    wish = _wish(door, given, body, limit=limit)
    if given.test:
        raw_lines([msgspec.json.encode(wish)])
        return 0
    return _send(door, given, wish, None)


def _refuse(given: Given) -> None:
    """What cannot be, before anything is read or opened."""
    many = [given.array, given.each_line, given.each, given.from_json]
    if sum(one is not None for one in many) > 1:
        raise BadInput("one of --array, --each-line, --each and --from-json: each says what the tasks are")
    if given.from_json is not None and given.command:
        raise BadInput("--from-json takes the commands from the file: leave the command out")
    if given.from_json is None and not given.command:
        raise BadInput("there is no command: write it after the options, such as `longshore submit -- echo hello`")
    _refuse_ties(given)
    if len(given.output) > 1:
        raise BadInput("--output is one place: give it once")
    if given.follow and given.from_json is not None:
        raise BadInput("--follow shows the output of one command: use --wait with --from-json")


def _refuse_ties(given: Given) -> None:
    if given.requires_each and not given.requires:
        raise BadInput("--requires-each says how --requires is meant: name what is required, such as --requires last")
    if given.on_failed_requirement not in ("fail", "wait"):
        raise BadInput(f"--on-failed-requirement is fail or wait, not {given.on_failed_requirement!r}")


def _uploaded(given: Given) -> Given:
    """The same with local inputs and resources named by where they are in the store, once they are there."""
    from longshore.uploading import Store, upload

    local = [word for word in (*given.inputs, *given.resource) if not word.startswith("{")]
    settings = configured(os.environ).value
    store = Store(settings.store, specs.batch_name(given.batch or settings.batch))
    done = upload(local, store, os.environ, dry=given.test)
    if not given.quiet:
        note(f"{done.sent} file{'s' * (done.sent != 1)} uploaded, {done.known} were there already")
    inputs = [done.uris.get(word, word) for word in given.inputs]
    return msgspec.structs.replace(given, inputs=inputs, resource=[done.uris.get(w, w) for w in given.resource])


def _argument(word: str) -> str:
    """The word as UTF-8 text, whatever the locale decoded it as; `BadInput` if its bytes are none."""
    raw = os.fsencode(word)
    try:
        return raw.decode()
    except UnicodeDecodeError as err:
        raise BadInput(
            f"an argument is not UTF-8: {raw[:60]!r}; put such bytes into a file and give that by --input"
        ) from err


def _running(given: Given) -> dict[str, Any]:
    """How each task runs; only what was given."""
    cwd = os.getcwd()
    words: dict[str, Any] = {
        "name": given.name,
        "container": given.container,
        "container_options": tuple(given.container_option),
        "inputs": tuple(specs.uris(given.inputs, cwd=cwd)),
        "resources": tuple(specs.uris(given.resource, cwd=cwd)),
        "output": specs.uri(given.output[0], cwd=cwd) if given.output else None,
        "env": quantities.pairs([_argument(pair) for pair in given.env]),
        "secrets": tuple(given.secret),
        "cpus": given.cpus,
        "memory": quantities.size(given.memory),
        "gpus": given.gpus,
        "disk": quantities.size(given.disk),
        "custom": amounts.custom(given.custom),
        "alternatives": tuple(map(amounts.request, given.otherwise)),
        "retries": given.retry,
        "retry_on": {**retries.budgets(given.retry_on), **retries.never(given.no_retry_on)},
        "retry_exits": retries.exits(",".join(given.retry_exit)) if given.retry_exit else (),
        "fail_exits": retries.exits(",".join(given.fail_exit)) if given.fail_exit else (),
        "backoff": quantities.duration(given.backoff),
        "run_timeout": quantities.duration(given.run_timeout),
        "download_timeout": quantities.duration(given.download_timeout),
        "upload_timeout": quantities.duration(given.upload_timeout),
        "use_cache": given.use_cache,
        "shell": given.shell,
        "uid": given.uid,
        "gid": given.gid,
        "checkpoint": _checkpoint(given),
        "stop_signal": specs.stop_signal(given.stop_signal) if given.stop_signal else None,
        "grace": quantities.duration(given.grace) if given.grace is not None else None,
        "pull": _pull(given.pull),
    }
    return {key: value for key, value in words.items() if value or (value == 0 and key in ("uid", "gid", "grace"))}


def _checkpoint(given: Given) -> str | None:
    if given.checkpoint is not None and not given.output and given.from_json is None:
        raise BadInput("--checkpoint is kept with the output: add --output URI, such as -o s3://bucket/run/")
    return given.checkpoint


def _pull(word: str | None) -> str | None:
    if word is not None and word not in get_args(m.Pull):
        raise BadInput(f"--pull is one of {', '.join(get_args(m.Pull))}, not {word!r}")
    return word


def _array(given: Given) -> tuple[m.Array, int]:
    """The tasks of one command, and how many may run at once (0 = no limit)."""
    spec = specs.spec([_argument(word) for word in given.command], **_running(given))
    if given.array is not None:
        found = quantities.array(given.array)
        return m.Array(spec=spec, size=found.size, start=found.start, step=found.step), found.limit
    if given.each_line is not None:
        with _lines(given.each_line) as lines:
            entries = entries_of(lines)
    elif given.each is not None:
        entries = _paths(given.each)
    else:
        return m.Array(spec=spec, size=1), 0
    return m.Array(spec=spec, size=len(entries), entries=tuple(entries)), 0


def _paths(pattern: str) -> list[str]:
    """Local paths, absolute and sorted, so that the same files give the same order."""
    from glob import glob

    if "://" in pattern:
        raise BadInput("--each takes local paths: list the URIs into a file and use --each-line")
    found = sorted(os.path.abspath(path) for path in glob(pattern, recursive=True))
    if not found:
        raise BadInput(f"nothing matches {pattern!r}: quote the pattern, and see that it is right from {os.getcwd()}")
    return [_argument(path) for path in found]


@contextmanager
def _lines(name: str) -> Iterator[BinaryIO]:
    """The file, or standard input for `-`."""
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(name, "rb")  # noqa: SIM115 -- closed below; the error is only about opening
    except OSError as err:
        raise BadInput(f"{name} cannot be read: {err.strerror}") from err
    with file:
        yield file


def _wish(door: Door, given: Given, body: m.Body, *, limit: int) -> TasksSubmitted:
    return TasksSubmitted(
        key=specs.key(given.key) if given.key is not None else new_key(),
        batch=specs.batch_name(given.batch or configured(os.environ).value.batch),
        body=body,
        priority=given.priority,
        requires=door.ranges(given.requires) if given.requires else (),
        requires_any_outcome=given.requires_any_outcome,
        each_requires=given.requires_each,
        on_failed_requirement="wait" if given.on_failed_requirement == "wait" else "fail",
        max_running=limit,
        held=given.hold,
    )


def _test_many(wish: TasksSubmitted, made: Iterator[m.TaskSpec | Tied]) -> int:
    count = size = edges = 0
    for part in parts(made):
        sent = SubmissionPartSent(key=wish.key, part=count, specs=part.specs, edges=part.edges)
        raw_lines([msgspec.json.encode(sent)])
        count, size, edges = count + 1, size + len(part.specs), edges + len(part.edges)
    body = m.Parts(parts=count, size=size, edges=edges)
    raw_lines([msgspec.json.encode(msgspec.structs.replace(wish, body=body))])
    return 0


def _send(door: Door, given: Given, wish: TasksSubmitted, made: Iterator[m.TaskSpec | Tied] | None) -> int:
    if made is None and not (given.wait or given.follow or given.spool):
        from longshore import once

        _tell(given, once.submit(door.profile, door.bookmark, wish))
        return 0

    async def sending(writer: "Writer") -> int:
        if not (given.wait or given.follow):
            _tell(given, await _submitted(writer, given, wish, made))
            return 0
        return await _sent_and_seen(door, writer, given, lambda: _submitted(writer, given, wish, made))

    return door.write(sending, deadline=_SPOOL_AFTER if given.spool else 10)


async def _submitted(
    writer: "Writer", given: Given, wish: TasksSubmitted, made: Iterator[m.TaskSpec | Tied] | None
) -> "Submitted":
    if made is not None:
        return await writer.submit_parts(wish, made)
    return await writer.submit(wish, spool=given.spool)


def _tell(given: Given, receipt: "Submitted") -> None:
    if receipt.spooled:
        note("the stack is away: kept on this disk, `longshore flush` sends it")
        return
    data(str(receipt))


async def _sent_and_seen(door: Door, writer: "Writer", given: Given, submit: Any) -> int:
    """Listen, submit, print the id, then watch to the end."""
    import asyncio

    from longshore.cli.waits import verdict, watch
    from longshore.waiting import Waiter

    await writer.transport()
    waiter = Waiter(writer.progress(), door.reader)
    await waiter.start()
    receipt: Submitted = await submit()
    _tell(given, receipt)
    if receipt.id is None:
        raise Refused("nothing to wait for while it is only on this disk")
    try:
        if given.follow:
            await asyncio.to_thread(_follow, door, receipt)
        end = await waiter.finished(receipt.id, projected=True, watch=None if given.quiet else watch())
        if end.status == "duplicate":
            first = await asyncio.to_thread(door.reader.submission, receipt.id)
            end = await waiter.finished(first.duplicate_of or receipt.id, projected=True, watch=None)
    finally:
        await waiter.close()
    return await verdict(door, end)


def _follow(door: Door, receipt: "Submitted") -> None:
    from longshore.cli.printing import raw_bytes

    for index in range(receipt.size):
        raw_bytes(door.reader.logs(f"{receipt.id}.{index}", follow=True))
