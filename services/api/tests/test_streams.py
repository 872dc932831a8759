"""Streams over HTTP: the log as it grows, resumed where it was left; progress; output; an end with the right to read."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from services.api.tests.live import Live, living

from longshore_api.adapters import http_feed, told
from longshore_api.adapters.http_feed import _whole
from longshore_api.core.users import Visitor
from longshore_common import events as e
from longshore_common import subjects
from longshore_common.ids import SubmissionId, attempt_id
from longshore_common.log import Entry
from longshore_common.model import HostFacts, Output


@pytest.fixture
async def live(database: str, project: Any) -> AsyncIterator[Live]:
    async with living(database, project) as made:
        yield made


class Stream:
    """A reader of server-sent events, straight from the application: the test client would wait for an end."""

    def __init__(self, live: Live, path: str, by: str = "ann", **headers: str) -> None:
        self.live, self.path, self.by, self.headers = live, path, by, headers
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.status = 0
        self.rest = b""
        self._gone = asyncio.Event()

    async def __aenter__(self) -> "Stream":
        path, _, query = self.path.partition("?")
        headers = [(b"authorization", f"Bearer {self.by}".encode())]
        headers += [(k.replace("_", "-").encode(), v.encode()) for k, v in self.headers.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": f"/api/v1{path}", "raw_path": f"/api/v1{path}".encode(), "query_string": query.encode(),
            "headers": headers, "client": ("10.0.0.1", 1), "server": ("api", 80), "root_path": "",
        }  # fmt: skip
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            else:
                self.chunks.put_nowait(message["body"] if message.get("more_body") else None)

        self._running = asyncio.create_task(self.live.app(scope, receive, send))  # type: ignore[arg-type]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        await asyncio.wait_for(asyncio.gather(self._running, return_exceptions=True), 5)

    async def blocks(self) -> AsyncIterator[dict[str, str]]:
        """Each block of lines as fields, till the end."""
        while (chunk := await asyncio.wait_for(self.chunks.get(), 5)) is not None:
            *whole, self.rest = (self.rest + chunk).split(b"\n\n")
            for block in whole:
                yield dict(line.split(": ", 1) for line in block.decode().splitlines() if ": " in line)

    async def events(self, count: int) -> list[dict[str, str]]:
        """The next events that have data."""
        found: list[dict[str, str]] = []
        async for block in self.blocks():
            if "data" in block:
                found.append(block)
                if len(found) == count:
                    break
        return found


async def submit(live: Live, batch: str = "b", by: str = "ann", size: int = 3) -> int:
    body = {"task": {"command": ["true"]}, "size": size, "batch": batch}
    return int((await live.ok("POST", "/submissions", body, by=by))["id"])


async def test_events_come_as_they_are_written_and_say_what_they_are_about(live: Live) -> None:
    async with Stream(live, "/events") as stream:
        await anext(stream.blocks())
        await submit(live)
        await live.answer(e.SubmissionAccepted(submission=SubmissionId(1), size=3))
        first, second = await stream.events(2)
    assert (first["id"], first["event"]) == ("1", "tasks-submitted")
    told_first = json.loads(first["data"])
    assert (told_first["author"], told_first["batches"], told_first["tasks"]) == ("user ann", ["b"], [[1, 0, 2]])
    assert "submission 1 of 3 tasks" in told_first["text"]
    assert second["event"] == "submission-accepted"


async def test_a_reader_that_comes_again_misses_nothing(live: Live) -> None:
    for _ in range(5):
        await submit(live)
    async with Stream(live, "/events?since=0") as stream:
        assert [event["id"] for event in await stream.events(5)] == ["1", "2", "3", "4", "5"]
    await submit(live)
    async with Stream(live, "/events", last_event_id="3") as stream:
        assert [event["id"] for event in await stream.events(3)] == ["4", "5", "6"]
    async with Stream(live, "/events", last_event_id="nonsense") as stream:
        await asyncio.wait_for(stream.chunks.get(), 5)
    assert stream.status == 400


async def test_events_are_filtered_by_kind_batch_task_and_worker(live: Live) -> None:
    await submit(live, "old")
    await live.shown()
    await submit(live, "new")
    await live.transport.log.append(Entry(e.WorkerEnrolled(worker="w1", public_key="k"), "", "w1"))  # type: ignore[arg-type]
    agent = live.hub.connect("worker", "w1")
    await agent.log.append(Entry(e.WorkerJoined(life=1, facts=HostFacts(), concurrency=1), "w1", "j"))
    ended = e.Ended(attempt=attempt_id(1, 2, 1), outcome="succeeded", exit_code=0)
    await agent.log.append(Entry(e.AttemptsReported(life=1, n=1, ended=(ended,)), "w1", "r"))
    await submit(live, "old")

    async def seen(query: str, count: int) -> list[str]:
        async with Stream(live, f"/events?since=0&{query}") as stream:
            return [event["id"] for event in await stream.events(count)]

    assert await seen("kinds=tasks-submitted", 3) == ["1", "2", "6"]
    assert await seen("batch=old", 3) == ["1", "5", "6"]
    assert await seen("task=1.2", 2) == ["1", "5"]
    assert await seen("worker=w1", 3) == ["3", "4", "5"]
    assert (await live.send("GET", "/events", query={"kinds": "nonsense"})).status_code == 400


async def test_a_revoked_reader_hears_no_more(live: Live) -> None:
    async with Stream(live, "/events") as stream:
        await anext(stream.blocks())
        live.doors.revoked.add("ann")
        assert [block async for block in stream.blocks() if "data" in block] == []
    assert (await live.send("GET", "/events")).status_code == 401


async def test_the_streams_end_when_the_process_does(live: Live) -> None:
    async with Stream(live, "/events") as stream:
        await anext(stream.blocks())
        await live.feed.close()
        assert [block async for block in stream.blocks() if "data" in block] == []


async def test_a_user_hears_how_far_the_own_submissions_are(live: Live) -> None:
    async with Stream(live, "/progress") as stream:
        await asyncio.wait_for(stream.chunks.get(), 5)
        async with asyncio.timeout(5):
            while not live.hub.listeners:
                await asyncio.sleep(0)
        await live.dispatch.hints.send(subjects.done("bob", 1), b'{"submission":1}')
        await live.dispatch.hints.send(subjects.done("ann", 2), b'{"submission":2}')
        (heard,) = await stream.events(1)
    assert heard["data"] == '{"submission":2}'
    assert (await live.send("GET", "/progress", by="vic")).status_code == 403


async def test_output_comes_as_text_with_the_place_to_go_on(live: Live) -> None:
    submission = await submit(live, size=1)
    start = e.Start(0, 1, 0)
    order = e.Order(
        submission=SubmissionId(submission), spec=live.event(1).body.spec, batch="b", user="ann", starts=(start,)
    )
    await live.answer(e.AttemptsAssigned(orders=(order,)), "w1")
    agent = live.hub.connect("worker", "w1")
    out = Output(size=7, tail="héllo\n")
    ended = e.Ended(attempt=attempt_id(1, 0, 1), outcome="succeeded", exit_code=0, stdout=out)
    await agent.log.append(Entry(e.AttemptsReported(life=1, n=1, ended=(ended,)), "w1", "r"))
    await live.shown()
    async with Stream(live, "/tasks/1.0/output/stream") as stream:
        text, end = await stream.events(2)
    assert (text["id"], json.loads(text["data"])) == ("7", {"offset": 0, "text": "héllo\n"})
    assert (end["event"], json.loads(end["data"])) == ("end", {"offset": 7})
    async with Stream(live, "/tasks/1.0/output/stream", last_event_id="3") as stream:
        assert json.loads((await stream.events(1))[0]["data"])["text"] == "llo\n"
    assert (await live.send("GET", "/tasks/9.0/output/stream")).status_code == 404


def test_a_character_is_not_cut_in_two() -> None:
    whole = "añ€😀".encode()
    for cut in range(1, len(whole) + 1):
        shown = _whole(whole[:cut], ended=False)
        shown.decode()
        assert len(whole[:cut]) - len(shown) < 4
    assert _whole(whole[:2], ended=True) == whole[:2]
    assert _whole(b"\xff\xfe", ended=False) in (b"\xff\xfe", b"\xff", b"")


async def test_silence_is_broken_now_and_then(live: Live, monkeypatch: Any) -> None:
    monkeypatch.setattr(told, "ALIVE", 0.0)
    async with Stream(live, "/events") as stream:
        blocks = stream.blocks()
        await anext(blocks)
        assert "id" in await anext(blocks)
        assert "id" in await anext(blocks)


async def test_who_may_read_is_asked_again_and_again() -> None:
    class Ring:
        def standing(self, ident: str) -> Visitor | None:
            return None if ident == "gone" else Visitor("ann", "user", ident)

    class House:
        keyring = Ring()

    assert told.still(House(), Visitor("ann", "user", "there"))()  # type: ignore[arg-type]
    assert not told.still(House(), Visitor("ann", "user", "gone"))()  # type: ignore[arg-type]
    assert http_feed.SHOWN > 0
