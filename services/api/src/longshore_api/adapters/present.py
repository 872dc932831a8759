"""From rows to bodies: what a reader of the API sees of a task, an attempt, a submission, a batch, a worker, an event."""

import zlib
from functools import lru_cache
from typing import Any, Final

import msgspec

from longshore_api.adapters import views
from longshore_api.adapters.reader import Details
from longshore_api.core.rows import OPEN_STATES, TASK_STATES, Progress
from longshore_common import codec
from longshore_common import events as e
from longshore_common.clock import iso
from longshore_common.errors import Unreadable
from longshore_common.ids import attempt_id, task_id
from longshore_common.model import Collected, Output, Retention, StepEnd, TaskSpec, Usage

#: In a list, longer words of a command are cut: a page of a thousand tasks must stay a page. One task shows all.
LONGEST_WORD: Final = 16 * 1024


class Report(msgspec.Struct, frozen=True, array_like=True):
    """What an attempt's last report said of it."""

    usage: Usage = Usage()
    stdout: Output | None = None
    stderr: Output | None = None
    image: str = ""
    checkpoint: bool = False
    kept: bool = False
    reused: str = ""
    steps: tuple[StepEnd, ...] = ()
    collected: tuple[Collected, ...] = ()


_report: Final = msgspec.json.Decoder(Report).decode
reasons: Final = msgspec.json.Decoder(list[tuple[int, str]]).decode
_NO_SPEC: Final = TaskSpec(command=())
_NOTHING: Final = Report()
_progress: Final = msgspec.json.Decoder(Progress).decode
_cares: Final = msgspec.json.Decoder(list[dict[str, Any]]).decode

Row = Any  # an asyncpg.Record


#: Tasks of a page share many instants.
_iso: Final = lru_cache(maxsize=8_192)(iso)


def when(at: float | None) -> str | None:
    """ISO 8601 or null; an instant no calendar has is null."""
    try:
        return None if at is None else _iso(at)
    except (ValueError, OverflowError, OSError):
        return None


def report(row: Row) -> Report:
    """What an attempt reported at its end, empty while there is no report."""
    return _report(row["report"]) if row["report"] else _NOTHING


def task(row: Row, details: Details, *, whole: bool = True) -> views.Task:
    """A task; in a list (not `whole`) very long words of its command are cut."""
    spec, of = details.spec or _NO_SPEC, details.submission
    usage = report(row).usage
    waits = row["state"] in ("waiting", "queued")
    return views.Task(
        id=task_id(row["submission"], row["index"]),
        name=spec.name or of["name"],
        batch=of["batch"],
        state=row["state"],
        command=list(spec.command) if whole else [_cut(word) for word in spec.command],
        container=spec.container,
        worker=None if waits else row["worker"] or None,
        attempt=row["attempt"] or None,
        exit_code=None if waits else row["exit_code"],
        cause=row["cause"],
        reason=_reason(row, of),
        submitted_at=when(of["submitted_at"]),
        started_at=None if waits else when(row["started_at"]),
        ended_at=when(row["ended_at"]) if row["state"] not in OPEN_STATES else None,
        peak_memory=usage.peak_memory if row["report"] and not waits else None,
        cpu_seconds=usage.cpu_seconds if row["report"] and not waits else None,
        submission=row["submission"],
        index=row["index"],
        label=details.label,
        entry=details.entry,
        user=of["user_name"],
        priority=of["priority"],
        paused=row["paused"],
        inputs=list(spec.inputs),
        output=spec.output,
        retries=spec.retries,
        edited=details.edited,
        not_before=when(row["not_before"]) if waits and row["not_before"] else None,
        progress=progress(row),
    )


def progress(row: Row) -> views.Progress | None:
    """How far the transfer of the phase that a current attempt is in went, by its last two reports."""
    told = row.get("progress")  # earlier attempts have none
    if told is None or row["outcome"] is not None:
        return None
    far = _progress(told)
    if far.phase != row["state"]:
        return None
    rate = None
    if far.done_before is not None and far.at_before is not None and far.at > far.at_before:
        rate = max(0.0, (far.done - far.done_before) / (far.at - far.at_before))
    eta = (far.total - far.done) / rate if rate and far.total >= far.done else None
    return views.Progress(far.phase, far.done, far.total, when(far.at), rate, eta)


def _cut(word: str) -> str:
    return word if len(word) <= LONGEST_WORD else f"{word[:LONGEST_WORD]}… ({len(word)} characters)"


def _reason(row: Row, of: Row) -> str | None:
    if row["cause"] == "rejected" and of["by_index"]:
        return dict(reasons(of["by_index"])).get(row["index"]) or str(row["reason"])
    return row["reason"] or None


def attempt(row: Row, submission: int, index: int, n: int) -> views.Attempt:
    """A row of table attempt, or of table task for the current one."""
    said = report(row)
    usage, out, err = said.usage, said.stdout, said.stderr
    told = bool(row["report"])
    return views.Attempt(
        id=attempt_id(submission, index, n),
        n=n,
        state=row["outcome"] or row["state"],
        worker=row["worker"],
        exit_code=row["exit_code"],
        cause=row["cause"],
        reason=row["reason"] or None,
        assigned_at=when(row["assigned_at"]),
        staging_at=when(usage.staging_at),
        started_at=when(row["started_at"]),
        ended_at=when(row["ended_at"]),
        finished_at=when(usage.finished_at),
        peak_memory=usage.peak_memory if told else None,
        cpu_seconds=usage.cpu_seconds if told else None,
        read_bytes=usage.read_bytes if told else None,
        written_bytes=usage.written_bytes if told else None,
        staged_bytes=usage.staged_bytes if told else None,
        delivered_bytes=usage.delivered_bytes if told else None,
        stdout=_stream(out) if told else None,
        stderr=_stream(err) if told else None,
        image=said.image or None,
        checkpoint=said.checkpoint,
        kept=said.kept,
        reused=said.reused or None,
        progress=progress(row),
        steps=_steps(said.steps),
        collected=[views.Upload(path=c.path, uri=c.uri, size=c.size, digest=c.digest) for c in said.collected],
    )


def _steps(ends: tuple[StepEnd, ...]) -> list[views.Step]:
    """Each with where its output stands in that of the attempt."""
    found: list[views.Step] = []
    out = err = 0
    for end in ends:
        found.append(
            views.Step(
                exit_code=end.exit_code,
                cause=end.cause,
                started_at=when(end.started_at),
                ended_at=when(end.ended_at),
                peak_memory=end.peak_memory,
                cpu_seconds=end.cpu_seconds,
                image=end.image or None,
                stdout=(out, end.stdout),
                stderr=(err, end.stderr),
            )
        )
        out, err = out + end.stdout, err + end.stderr
    return found


def _stream(output: Output | None) -> views.Stream:
    return views.Stream(output.size, output.digest, output.stored) if output else views.Stream(0, "", "")


def _states(row: Row) -> dict[str, int]:
    return {state: row[state] for state in TASK_STATES if row[state]}


def submission(row: Row) -> views.Submission:
    """A submission with its counts; states without tasks are left out."""
    return views.Submission(
        id=row["id"],
        user=row["user_name"],
        batch=row["batch"],
        name=row["name"],
        size=row["size"],
        states=_states(row),
        submitted_at=when(row["submitted_at"]),
        status=row["status"],
        reason=row["reason"] or None,
        duplicate_of=row["duplicate_of"],
    )


def batch(row: Row) -> views.Batch:
    """A batch with its counts; states without tasks are left out."""
    over = not any(row[state] for state in OPEN_STATES)
    return views.Batch(
        name=row["name"],
        paused=row["paused"],
        frozen=row["frozen"],
        size=row["size"],
        states=_states(row),
        submissions=row["submissions"],
        users=list(row["users"]),
        submitted_at=when(row["submitted_at"]),
        started_at=when(row["started_at"]),
        ended_at=when(row["ended_at"]) if over else None,
        retention=_retention(row["retention"]) if row["retention"] else None,
        ran_seconds=row["ran"],
    )


def _retention(told: str) -> dict[str, float]:
    return msgspec.structs.asdict(msgspec.json.decode(told, type=Retention))


def state_of(row: Row) -> tuple[str, str]:
    """What a worker's state is called, and why it takes no work."""
    if row["paused"] and row["drain"]:
        return "draining" if row["assigned"] else "drained", row["pause_reason"]
    if row["state"] != "up":
        return row["state"], ""
    if row["paused"]:
        return "paused", row["pause_reason"]
    if row["evicted"]:
        return "evicted", row["evicted"]
    if row["quarantine"]:
        return "quarantined", row["quarantine"]
    return ("hindered", row["hindered"]) if row["hindered"] else ("up", "")


def _care(worker: str, told: dict[str, Any]) -> views.Care:
    return views.Care(**told | {"worker": worker, "at": when(told["at"])})


def care(row: Row, event: e.WorkerCared) -> views.Care:
    """An event of the archive by which a worker says what came of an order."""
    at, worker = when(row["at"]), row["name"]
    return views.Care(worker=worker, at=at, care=event.care, text=event.text, freed=event.freed, request=event.request)


def worker(row: Row, heard_at: float | None, load: dict[str, Any] | None = None) -> views.Worker:
    """A worker; `heard_at` is its last beat, if this process heard any, and `load` what that said of its host."""
    state, reason = state_of(row)
    seen = max((at for at in (heard_at, row["seen_at"], row["joined_at"]) if at is not None), default=None)
    return views.Worker(
        name=row["name"],
        state=state,
        concurrency=row["concurrency"],
        prefetch=row["prefetch"],
        prefetch_percent=row["prefetch_percent"],
        batch=row["batch"],
        public_key=row["public_key"],
        hostname=row["hostname"],
        facts=msgspec.json.decode(row["facts"]),
        running=row["running"],
        assigned=row["assigned"],
        last_seen_at=when(seen),
        joined_at=when(row["joined_at"]),
        reason=reason or None,
        evicted_at=when(row["evicted_at"]),
        quarantined_until=when(row["quarantined_until"]),
        held=row["held"],
        remotes_at=when(row["remotes_at"]),
        cares=[_care(row["name"], told) for told in _cares(row["cares"])],
        load=load,
    )


def minute(row: Row) -> dict[str, Any]:
    """The means of a minute, `at` its begin."""
    return {**msgspec.json.decode(row["sample"]), "at": when(row["minute"])}


def event(row: Row) -> object:
    """The event of a row of the archive, or None if its bytes are none."""
    deflated = row["body"][:1] == b"\x78"  # zlib's first byte; JSON begins with a brace
    try:
        return codec.decode(row["subject"], row["body"], {"Content-Encoding": "deflate"} if deflated else None)[1]
    except Unreadable:
        return None


def unpacked(row: Row) -> str:
    """The beginning of a body that is no event."""
    body: bytes = row["body"]
    try:
        body = zlib.decompressobj().decompress(body, 200)
    except zlib.error:
        body = body[:200]
    return body.decode(errors="replace")


def line(row: Row, text: str) -> views.Line:
    """A sentence with the place, time and author of its event."""
    author = f"{row['role']} {row['name']}" if row["name"] else row["role"]
    return views.Line(row["seq"], when(row["at"]) or "", author, row["type"], text)
