"""Reads over HTTP from the api: pages, records, live output. Synchronous, keep-alive, every call with a deadline.

Problem documents become our errors here, once. What must not enter: writes (those are events), asyncio, NATS.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Final, NamedTuple, TypedDict, TypeVar, Unpack
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from longshore import records
from longshore.bookmark import Bookmark
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput, Conflict, LongshoreError, NotFound, Refused, Unreachable, Unreadable
from longshore_common.profile import Profile

BASE: Final = "/api/v1"
#: The api itself waits up to 10 s for a position, so a reader waits a little longer.
DEADLINE: Final = 15.0
#: Seconds that a read asks again while the read model has not passed its position, as after a very large submission.
PATIENCE: Final = 60.0
#: The same while the lists of a time long ago are made again.
PATIENCE_BACK: Final = 300.0
#: How often a followed output is asked for more: news show within half a second.
FOLLOW_EVERY: Final = 0.2
_CHUNK: Final = 1024 * 1024
_JSON: Final = "application/json"
_PAGE: Final = 1000

R = TypeVar("R")
#: The body of a request, and headers beside the usual ones.
_Sent = tuple[bytes | None, Mapping[str, str]]


class TaskFilters(TypedDict, total=False):
    """Which tasks: `ids` such as "1204.0-99,1205.3", `at` a sequence or an instant for the lists as they were."""

    batch: str | None
    state: str | None
    name: str | None
    worker: str | None
    user: str | None
    submission: int | None
    ids: str | None
    at: str | int | None


class Answer(NamedTuple):
    """A successful answer: its headers in lower case, and the body."""

    headers: dict[str, str]
    body: bytes


class Standing(NamedTuple):
    """A place in the log: the sequence of the last event that counts, and its instant (ISO 8601)."""

    seq: int
    at: str


class RawPage(msgspec.Struct, frozen=True):
    """A page whose items stay the bytes the api sent."""

    items: list[msgspec.Raw]
    next: str | None = None
    position: int = 0


class Chunk(NamedTuple):
    """Some output: the bytes, the offset after them, and whether nothing more will come."""

    data: bytes
    next_offset: int
    ended: bool


class _Behind(Unreachable):
    """The read model has not passed the position asked for; asking again is waiting on."""


class _Problem(msgspec.Struct, frozen=True):
    title: str = ""
    detail: str = ""


class Reader:
    """A user's eyes on one stack. Safe to use from several threads; `close` lets the connections go."""

    def __init__(self, profile: Profile, bookmark: Bookmark, *, deadline: float = DEADLINE) -> None:
        self.profile = profile
        self.bookmark = bookmark
        self.patience = PATIENCE
        self._deadline = deadline
        self._idle: list[HTTPConnection] = []
        self._lock = threading.Lock()
        self._token: str | None = None
        #: Where in the log the last answer stands, if it was one about the past.
        self.standing: Standing | None = None

    # --- pages and records ----------------------------------------------------------------------------------------

    def page(self, path: str, query: Mapping[str, object] = {}, *, after: int | None = None) -> RawPage:
        """One page; query values of None are left out. Reads what this user wrote before, or waits for `after`."""
        return _decoded(self.get(path, query, after=after).body, RawPage)

    def raw_items(self, path: str, query: Mapping[str, object] = {}, limit: int | None = None) -> Iterator[msgspec.Raw]:
        """All items over all pages, or the first `limit`."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            got = self.page(path, {**query, "limit": size, "cursor": cursor})
            yield from got.items
            cursor = got.next
            if cursor is None:
                return
            if self.standing is not None and query.get("at") is not None:
                query = {**query, "at": self.standing.seq}  # how long ago it is must not change from page to page
            left = None if left is None else left - len(got.items)

    def record(self, path: str, kind: type[R], *, after: int | None = None) -> R:
        """One record; `NotFound` if there is none."""
        return _decoded(self.get(path, after=after).body, kind)

    def tasks(self, *, limit: int | None = None, **filters: Unpack[TaskFilters]) -> Iterator[records.Task]:
        """Tasks, newest submission first."""
        for raw in self.raw_items("/tasks", dict(filters), limit):
            yield _decoded(raw, records.Task)

    def task(self, task: str) -> records.Task:
        """One task by id."""
        return self.record(f"/tasks/{quote(task)}", records.Task)

    def attempts(self, task: str) -> list[records.Attempt]:
        """A task's attempts, the first one first."""
        return [_decoded(raw, records.Attempt) for raw in self.page(f"/tasks/{quote(task)}/attempts").items]

    def submission(self, submission: int, *, after: int | None = None) -> records.Submission:
        """A submission with its counts."""
        return self.record(f"/submissions/{submission}", records.Submission, after=after)

    def size_of(self, submission: int) -> int:
        """How many tasks a submission has."""
        return self.submission(submission).size

    def batches(self) -> Iterator[records.Batch]:
        """All batches."""
        for raw in self.raw_items("/batches"):
            yield _decoded(raw, records.Batch)

    def batch(self, name: str) -> records.Batch:
        """One batch with its counts."""
        return self.record(f"/batches/{quote(name)}", records.Batch)

    def workers(self) -> Iterator[records.Worker]:
        """All workers."""
        for raw in self.raw_items("/workers"):
            yield _decoded(raw, records.Worker)

    def secrets(self) -> Iterator[records.Secret]:
        """The secrets of this user, and who holds them; an admin sees those of all."""
        for raw in self.raw_items("/secrets"):
            yield _decoded(raw, records.Secret)

    def worker(self, name: str) -> records.Worker:
        """One worker."""
        return self.record(f"/workers/{quote(name)}", records.Worker)

    def metrics(self, name: str, since: str | None = None) -> records.Metrics:
        """What a worker's host does now, and by the minute since an instant (ISO 8601)."""
        return _decoded(self.get(f"/workers/{quote(name)}/metrics", {"since": since}).body, records.Metrics)

    def answer(self, request: int, *, wait: float = 2, cared: bool = False) -> records.Answer:
        """What became of the wish at this sequence, waited for up to `wait` seconds (at most 10); the next read shows it.

        With `cared` until all workers that were told have said what came of it.
        """
        query = f"wait={wait}" + ("&cared=true" if cared else "")
        found = _decoded(self.request("GET", f"/requests/{request}?{query}").body, records.Answer)
        self.bookmark.saw(found.seq)
        return found

    def history(self, kind: str, name: str) -> list[records.HistoryEntry]:
        """What happened to a task, batch or worker (`kind`: tasks, batches, workers), oldest first."""
        return [_decoded(raw, records.HistoryEntry) for raw in self.raw_items(f"/{kind}/{quote(name)}/history")]

    # --- output -----------------------------------------------------------------------------------------------------

    def output(self, task: str, stream: str, *, attempt: int | None = None, offset: int = 0) -> Chunk:
        """What there is of an attempt's stdout or stderr from `offset`, at most a MiB."""
        query = {"stream": stream, "attempt": attempt, "offset": offset, "limit": _CHUNK}
        got = self.get(f"/tasks/{quote(task)}/output", query)
        after = int(got.headers.get("longshore-next-offset") or offset + len(got.body))
        return Chunk(got.body, after, got.headers.get("longshore-ended", "true") == "true")

    def logs(
        self, task: str, *, stream: str = "stdout", attempt: int | None = None, offset: int = 0, follow: bool = False
    ) -> Iterator[bytes]:
        """The bytes of a stream as they come; with `follow` until the task's attempt ended, else what there is now."""
        while True:
            chunk = self.output(task, stream, attempt=attempt, offset=offset)
            if chunk.data:
                yield chunk.data
            progressed, offset = chunk.next_offset > offset, chunk.next_offset
            if not progressed and (chunk.ended or not follow):
                return
            if not progressed:
                time.sleep(FOLLOW_EVERY)

    # --- the wire ---------------------------------------------------------------------------------------------------

    def get(self, path: str, query: Mapping[str, object] = {}, *, after: int | None = None) -> Answer:
        """GET below the api's base; waits until the read model has passed `after` (default: this user's last write)."""
        wanted = {key: str(value) for key, value in query.items() if value is not None}
        if seq := self.bookmark.seq if after is None else after:
            wanted["after"] = str(seq)
        path += "?" + urlencode(wanted) if wanted else ""
        until = time.monotonic() + (max(self.patience, PATIENCE_BACK) if "at" in wanted else self.patience)
        while True:
            try:
                got = self.request("GET", path)
                self.standing = _standing(got)
                return got
            except _Behind:
                if time.monotonic() >= until:
                    raise

    def post(self, path: str) -> Answer:
        """POST without a body; not repeated by itself."""
        return self.request("POST", path)

    def send(self, method: str, path: str, body: object, kind: type[R]) -> R:
        """One exchange, with a body in JSON, not repeated by itself; what is answered. Later reads show what it did."""
        sent = None if body is None else msgspec.json.encode(body)
        found = _decoded(self.request(method, path, sent).body, kind)
        self.bookmark.saw(int(getattr(found, "seq", 0) or 0))
        return found

    def request(self, method: str, path: str, body: bytes | None = None, more: Mapping[str, str] = {}) -> Answer:
        """One exchange; a kept connection that the server closed meanwhile is opened anew once, for GET."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        kept = connection is not None
        connection = connection or self._open()
        try:
            return self._exchange(connection, method, path, (body, more))
        except (HTTPException, OSError) as err:
            connection.close()
            if kept and method == "GET" and not isinstance(err, TimeoutError):
                return self.request(method, path)
            raise Unreachable(
                f"the api at {self.profile.api_url} does not answer ({err or type(err).__name__}): "
                "see `longshore status`, or start the stack with `longshore up`"
            ) from err

    def _exchange(self, connection: HTTPConnection, method: str, path: str, sent: _Sent) -> Answer:
        kind = {"Content-Type": _JSON} if sent[0] else {}
        connection.request(method, BASE + path, sent[0], {**self._headers(), **kind, **sent[1]})
        response = connection.getresponse()
        body = response.read()
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        if response.status >= 400:
            raise _translated(response, body)
        return Answer({key.lower(): value for key, value in response.getheaders()}, body)

    def _headers(self) -> dict[str, str]:
        if self._token is None:
            try:
                self._token = Path(self.profile.api_token_file).read_text().strip()
            except OSError as err:
                raise Refused(
                    f"the token {self.profile.api_token_file} cannot be read ({err.strerror}): ask its owner for access"
                ) from err
        return {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}

    def _open(self) -> HTTPConnection:
        url = urlsplit(self.profile.api_url)
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        return kind(url.hostname or "127.0.0.1", url.port, timeout=self._deadline)

    def stream(self, path: str, *, deadline: float) -> tuple[HTTPConnection, HTTPResponse]:
        """A GET whose answer goes on; each read of it has `deadline` seconds. The caller closes the connection."""
        connection = self._open()
        connection.timeout = deadline
        try:
            connection.request("GET", BASE + path, headers=self._headers() | {"Accept": "text/event-stream"})
            response = connection.getresponse()
            if response.status >= 400:
                raise _translated(response, response.read())
        except (HTTPException, OSError) as err:
            connection.close()
            raise Unreachable(
                f"the api at {self.profile.api_url} does not answer ({err or type(err).__name__})"
            ) from err
        except LongshoreError:
            connection.close()
            raise
        return connection, response

    def close(self) -> None:
        """Close the kept connections; a later read opens new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _standing(got: Answer) -> Standing | None:
    seq = got.headers.get("longshore-at", "")
    return Standing(int(seq), got.headers.get("longshore-at-time", "")) if seq.isdigit() else None


def _decoded(body: bytes | msgspec.Raw, kind: type[R]) -> R:
    try:
        return msgspec.json.decode(body, type=kind)
    except DAMAGED as err:
        raise Unreadable(f"the api answered what is no {kind.__name__} ({err}): {bytes(body)[:200]!r}") from err


def _translated(response: HTTPResponse, body: bytes) -> LongshoreError:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except DAMAGED:
        problem = _Problem(title=response.reason, detail=body[:200].decode(errors="replace"))
    text = problem.detail or problem.title or f"HTTP {response.status}"
    kinds: dict[int, type[LongshoreError]] = {400: BadInput, 404: NotFound, 409: Conflict, 422: BadInput}
    if response.status == 401:
        return Refused(f"{text} (`longshore login` to show another credential)")
    if response.status == 403:
        return Refused(text)
    if response.status == 504:
        return _Behind(text)
    if response.status in (429, 502, 503):
        return Unreachable(text)
    return kinds.get(response.status, Refused)(text)


def as_builtin(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """An item as a plain dict, for tables."""
    return _decoded(raw, dict[str, Any])
