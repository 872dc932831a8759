"""What the api serves by itself: single tasks, pages, a submission of 10,000 different tasks, a thousand streams.

Targets (issue "The front", Speed) on two cores with a million tasks in the read model, half of them with a row of their own:
GET of a task at least 2,000/s and of a page at least 500/s, p99 at most 50 ms; POST of 10,000 tasks at most 1 s; 1,000
streams of events each within 1 s of the log. Beside them, the same client asks for `/healthz`, which reads nothing: what of
a request is the framework's and the client's own. What must not enter: figures of another day.
"""

import asyncio
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from common import Report, Stack, percentile, scaled, seconds, until

#: Connections that ask at the same time, and for how many seconds.
CLIENTS = 16
SECONDS = 5.0
#: Streams, opened so many at a time, and events that are written while they are open.
STREAMS, AT_ONCE, WRITTEN = 1000, 50, 100


class Asking(asyncio.Protocol):
    """One connection that asks again as soon as it is answered; it reads no more of an answer than it must."""

    def __init__(self, paths: Callable[[], bytes], head: bytes, times: list[float], until: float) -> None:
        self.paths, self.head, self.times, self.until = paths, head, times, until
        self.buffer, self.began, self.done = b"", 0.0, asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(b"GET %b HTTP/1.1\r\n%b\r\n" % (self.paths(), self.head))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.buffer.lower().find(b"content-length: ", 0, end) + 16
        length = int(self.buffer[at : self.buffer.find(b"\r\n", at)])
        if len(self.buffer) < end + 4 + length:
            return
        if not self.buffer.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(self.buffer[:500].decode()))
            self.transport.close()
            return
        now = time.perf_counter()
        self.times.append(now - self.began)
        self.buffer = b""
        if now < self.until:
            self._ask()
        else:
            self.done.set_result(None)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("closed by the api"))


def ask(host: str, port: int, head: bytes, paths: list[bytes]) -> tuple[float, list[float]]:
    """(requests a second, seconds of each) of all connections together, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_ask, (host, port, head, paths))


def _ask(host: str, port: int, head: bytes, paths: list[bytes]) -> tuple[float, list[float]]:
    async def running() -> tuple[float, list[float]]:
        loop, times, at = asyncio.get_running_loop(), [], [0]

        def path() -> bytes:
            at[0] += 1
            return paths[at[0] % len(paths)]

        began = time.perf_counter()
        made = [
            (await loop.create_connection(lambda: Asking(path, head, times, began + SECONDS), host, port))[1]
            for _ in range(CLIENTS)
        ]
        await asyncio.gather(*(one.done for one in made))
        return len(times) / (time.perf_counter() - began), times

    return asyncio.run(running())


class Listening(asyncio.Protocol):
    """One stream of events; the longest time from an event's place in the log to here."""

    def __init__(self, request: bytes, lags: list[float]) -> None:
        self.request, self.lags, self.rest = request, lags, b""
        self.opened = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        now = time.time()
        for line in (self.rest + data).split(b"\n")[:-1]:
            if line.startswith(b"retry: "):
                self.opened.set()
            if line.startswith(b"data: "):
                at = line.find(b'"at":"') + 6
                self.lags.append(now - _unix(line[at : line.find(b'"', at)]))
        self.rest = (self.rest + data).rpartition(b"\n")[2]


_known: dict[bytes, float] = {}


def _unix(text: bytes) -> float:
    from datetime import datetime

    if text not in _known:
        _known[text] = datetime.fromisoformat(text.decode()).timestamp()
    return _known[text]


def listen(host: str, port: int, request: bytes, ready: object, results: object) -> None:
    """A thousand streams in one process, till it is told that all is written and all of it was heard."""

    async def running() -> list[float]:
        loop, lags = asyncio.get_running_loop(), []
        for _ in range(0, STREAMS, AT_ONCE):
            some = [
                (await loop.create_connection(lambda: Listening(request, lags), host, port))[1] for _ in range(AT_ONCE)
            ]
            await asyncio.gather(*(one.opened.wait() for one in some))
        ready.set()  # type: ignore[attr-defined]
        await asyncio.to_thread(until, lambda: not ready.is_set(), 120, "the writer")  # type: ignore[attr-defined]
        with suppress(TimeoutError):
            await asyncio.to_thread(until, lambda: len(lags) >= STREAMS * WRITTEN, 10, "what was written")
        return lags

    results.put(asyncio.run(running()))  # type: ignore[attr-defined]


def main() -> int:
    """A million tasks, then each question in turn."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit[1], 16_384), limit[1]))
    report = Report("api")
    n = scaled(1_000_000)
    with Stack(concurrency=1, LONGSHORE_RATE_LIMIT="0") as stack:
        stack.cli("worker", "pause", "--all")
        submission = int(stack.cli("submit", "--array", f"0-{n - 1}", "--", "sleep", "60").split(".")[0])
        until(
            lambda: stack.get(f"/submissions/{submission}", after=submission)["states"].get("queued") == n,
            60,
            "projection",
        )
        touch(stack, submission, n // 2)
        profile = json.loads((stack.state / "client.json").read_text())
        url = urlsplit(profile["api_url"])
        token = Path(profile["api_token_file"]).read_text().strip()
        head = f"Host: x\r\nAuthorization: Bearer {token}\r\n".encode()
        where = (url.hostname or "", url.port or 80)
        singles = [b"/api/v1/tasks/%d.%d" % (submission, k * 7919 % n) for k in range(5000)]
        pages = [b"/api/v1/tasks?limit=50"]
        pages += [b"/api/v1/tasks?limit=50&state=%b" % state for state in (b"queued", b"succeeded")]
        pages += [
            b"/api/v1/tasks?limit=50&ids=%d.%d-%d" % (submission, k, k + 999) for k in range(0, n - 1000, n // 50)
        ]
        base, _ = ask(*where, head, [b"/healthz"])
        for name, paths, least in (("GET of a task", singles, 2000), ("GET of a page of 50", pages, 500)):
            ask(*where, head, paths)
            rate, times = ask(*where, head, paths)
            report.at_least(name, rate, least, "/s", f"/healthz {base:,.0f} /s")
            report.at_most(f"{name}, p99", 1000 * percentile(times, 0.99), 50, "ms", f"{CLIENTS} connections")
        post(stack, report, where, token)
        streams(stack, report, where, head)
    return report.close()


def touch(stack: Stack, submission: int, count: int) -> None:
    """Rows of their own for so many tasks, as if they had run, written into the read model where it is."""
    rows = f"""
        BEGIN;
        UPDATE task_range SET lo = {count} WHERE submission = {submission};
        INSERT INTO task (submission, index, state, attempt, worker, assigned_at, assigned_seq, started_at, ended_at,
            exit_code, outcome, cause, reason, paused, not_before)
        SELECT {submission}, k, 'succeeded', 1, 'local-1', 1.7e9, 5, 1.7e9, 1.7e9 + 1, 0, 'succeeded', NULL, '', false, 0
        FROM generate_series(0, {count} - 1) AS k;
        UPDATE submission SET succeeded = succeeded + {count}, queued = queued - {count} WHERE id = {submission};
        UPDATE batch SET succeeded = succeeded + {count}, queued = queued - {count};
        COMMIT;
        VACUUM ANALYZE task;
    """
    _sql(stack.part("api").environ()["DATABASE_URL"], rows)


def _sql(database: str, statements: str) -> None:
    import asyncpg

    async def running() -> None:
        db = await asyncpg.connect(database, timeout=10)
        for statement in statements.split(";"):
            if statement.strip():
                await db.execute(statement, timeout=300)
        await db.close()

    asyncio.run(running())


def post(stack: Stack, report: Report, where: tuple[str, int], token: str) -> None:
    """Ten thousand different tasks in one call."""
    import http.client

    n = scaled(10_000)
    tasks = [{"command": ["./fit", "--seed", str(k)], "env": {"SEED": str(k)}, "cpus": 1} for k in range(n)]
    walls = []
    for k in range(5):
        body = json.dumps({"batch": "many", "tasks": tasks}).encode()
        connection = http.client.HTTPConnection(*where, timeout=60)

        def sent(connection: http.client.HTTPConnection = connection, body: bytes = body, k: int = k) -> None:
            connection.request("POST", "/api/v1/submissions", body, {
                "Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": f"bench-{k}",
            })  # fmt: skip
            answer = connection.getresponse()
            said = json.loads(answer.read())
            if answer.status != 202 or said["size"] != n:
                raise RuntimeError(f"POST answered {answer.status}: {said}")

        walls.append(seconds(sent))
        connection.close()
    report.at_most(f"POST of {n:,} different tasks", statistics.median(walls), 1, "s", f"{len(body) / 1e6:.1f} MB each")


def streams(stack: Stack, report: Report, where: tuple[str, int], head: bytes) -> None:
    """A thousand streams, and somebody who writes ten events a second."""
    context = multiprocessing.get_context("spawn")
    ready, results = context.Event(), context.Queue()
    request = b"GET /api/v1/events HTTP/1.1\r\n%b\r\n" % head
    listener = context.Process(target=listen, args=(*where, request, ready, results))
    listener.start()
    try:
        if not ready.wait(60):
            raise RuntimeError("the streams did not open")
        api = stack.part("api")
        used = sum(api.cpu_times()[:2])
        began = time.perf_counter()
        writer = subprocess.run(
            [sys.executable, "-c", _WRITE, str(WRITTEN)],
            env=stack.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if writer.returncode:
            raise RuntimeError(writer.stderr[-2000:])
        wall = time.perf_counter() - began
        cpu = sum(api.cpu_times()[:2]) - used
        ready.clear()
        lags = results.get(timeout=60)
    finally:
        listener.join(20)
        if listener.is_alive():
            listener.terminate()
    report.at_least(
        f"events seen by {STREAMS} streams, of each written", len(lags) / STREAMS, WRITTEN, "", "and answers"
    )
    report.at_most("the latest of them behind the log", max(lags), 1, "s", f"median {statistics.median(lags):.3f} s")
    report.told("processor of the api meanwhile", f"{100 * cpu / wall:.0f} %")


_WRITE = """
import asyncio, sys
from longshore import AsyncClient

async def main():
    async with AsyncClient() as client:
        for k in range(int(sys.argv[1])):
            await client.pause_batch("elsewhere")
            await asyncio.sleep(0.1)

asyncio.run(main())
"""


if __name__ == "__main__":
    sys.exit(main())
