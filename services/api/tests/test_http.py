"""The HTTP surface over a projected log: bodies, errors that name the fix, doors, output, history, the OpenAPI document."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from longshore_api.adapters import http
from longshore_api.adapters.doors import House
from longshore_api.adapters.heard import Heard
from longshore_api.adapters.issuer import Issuer, Names, Secrets
from longshore_api.adapters.output import PIECE, Outputs
from longshore_api.adapters.past import Pasts
from longshore_api.adapters.progress import Progress
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.store import Store
from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters import nats_keys
from longshore_common.adapters.memory_log import Hub
from longshore_common.errors import Unreachable
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import Array, HostFacts, Output, Specs, TaskSpec, Usage
from longshore_common.testing.clocks import Stopped

TOKEN, JOIN = "t0ken", "j0in"


class Api:
    """A client of the application, and the log it shows."""

    def __init__(self, url: str, book: Any, project: Any, reader: Reader) -> None:
        self.book, self._project, self._url = book, project, url
        self.clock = Stopped()
        self.hub = Hub(self.clock)
        self.transport = self.hub.connect("api")
        self.progress = Progress()
        self.heard = Heard(self.transport.hints, self.clock)
        self.ensured: list[str] = []
        self.last: int | None = None
        account = nats_keys.make_seed("account")
        secrets = Secrets(account, nats_keys.public_key(account), JOIN, "nats://here")
        names = Names(reader, self.progress, self.heard)
        house = House(
            token=TOKEN, reader=reader, progress=self.progress, heard=self.heard, outputs=Outputs(self.transport),
            issuer=Issuer(secrets, self.transport.log, self._ensure, names), last=self._last, rebuild=self._rebuild,
            pasts=Pasts(url, reader, self.clock),
        )  # fmt: skip
        self.house = house
        app = http.application(house)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")
        self.token: str | None = TOKEN

    async def _ensure(self, worker: str) -> None:
        self.ensured.append(worker)

    async def _last(self) -> int:
        if self.last is None:
            raise Unreachable("the log is away")
        return self.last

    async def _rebuild(self) -> None:
        self.ensured.append("rebuilt")

    async def shown(self) -> None:
        """Project all that the book has."""
        store = await Store.open(self._url)
        try:
            memory = await store.load()
            await self._project(store, memory, self.book.records[memory.position :])
            self.progress.reach(memory.position)
        finally:
            await store.close()

    async def get(self, path: str, **query: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return await self.client.get(
            path if path.startswith("/") else f"/api/v1/{path}", params=query or None, headers=headers
        )

    async def json(self, path: str, **query: Any) -> Any:
        answer = await self.get(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def api(database: str, book: Any, project: Any) -> AsyncIterator[Api]:
    reader = await Reader.open(database)
    made = Api(database, book, project, reader)
    yield made
    await made.client.aclose()
    await made.house.pasts.close()
    await reader.close()


async def test_a_list_shows_tasks_in_pages_and_the_position(api: Api) -> None:
    api.book.submit(3, name="big")
    api.book.submit(1, user="bob", batch="c")
    await api.shown()
    first = await api.json("tasks", limit=2)
    assert [t["id"] for t in first["items"]] == ["2.0", "1.0"]
    assert first["position"] == 2
    second = await api.json("tasks", limit=2, cursor=first["next"])
    assert [t["id"] for t in second["items"]] == ["1.1", "1.2"]
    assert second["next"] is None
    assert [t["id"] for t in (await api.json("tasks", state="queued", user="bob"))["items"]] == ["2.0"]


async def test_a_task_has_every_field_the_command_line_promises(api: Api) -> None:
    spec = TaskSpec(
        command=("sh", "-c", "x 'y' $Z"), container="busybox", inputs=("s3://b/{entry}",), output="s3://b/o", retries=2
    )
    body = Array(spec=spec, size=2, start=10, step=5, entries=("a", "b"))
    array = api.book.submit(2, body=body, name="n", priority=4)
    api.book.assign(array, 1)
    usage = Usage(started_at=1500.25, ended_at=1501.5, peak_memory=123, cpu_seconds=0.5)
    api.book.end(array, 1, exit_code=0, usage=usage)
    await api.shown()
    task = await api.json(f"tasks/{array}.1")
    assert task == {
        "id": "1.1", "name": "n", "batch": "b", "state": "succeeded", "command": ["sh", "-c", "x 'y' $Z"],
        "container": "busybox", "worker": "w1", "attempt": 1, "exit_code": 0, "cause": None, "reason": None,
        "submitted_at": "1970-01-01T00:16:41.000+00:00", "started_at": "1970-01-01T00:25:00.250+00:00",
        "ended_at": "1970-01-01T00:25:01.500+00:00", "peak_memory": 123, "cpu_seconds": 0.5, "submission": 1,
        "index": 1, "label": 15, "entry": "b", "user": "ann", "priority": 4, "paused": False,
        "inputs": ["s3://b/{entry}"], "output": "s3://b/o", "retries": 2, "not_before": None, "progress": None,
        "edited": False,
    }  # fmt: skip
    untouched = await api.json(f"tasks/{array}.0")
    assert (untouched["state"], untouched["attempt"], untouched["worker"], untouched["entry"]) == (
        "queued",
        None,
        None,
        "a",
    )


async def test_a_queued_task_shows_why_it_waits_again_but_not_the_results_of_its_last_attempt(api: Api) -> None:
    array = api.book.submit()
    api.book.assign(array, 0)
    api.book.end(array, 0, outcome="failed", exit_code=9, cause="exit", reason="exit code 9", usage=Usage(1, 2, 3))
    api.book.requeue(array, 0, cause="exit", not_before=1100.0)
    await api.shown()
    task = await api.json("tasks/1.0")
    assert (task["exit_code"], task["worker"], task["started_at"], task["ended_at"]) == (None, None, None, None)
    assert (task["cause"], task["attempt"], task["not_before"]) == ("exit", 1, "1970-01-01T00:18:20.000+00:00")


async def test_different_specs_are_found_behind_their_blobs(api: Api) -> None:
    specs = tuple(TaskSpec(command=("echo", str(i)), name=f"t{i % 7}") for i in range(600))
    api.book.write(e.TasksSubmitted(key="k", batch="b", body=Specs(specs=specs)))
    await api.shown()
    got = (await api.json("tasks", limit=600))["items"]
    assert [t["command"][1] for t in got] == [str(i) for i in range(600)]
    assert len((await api.json("tasks", name="t3", limit=600))["items"]) == 86


async def test_very_long_words_are_cut_in_a_list_and_whole_in_a_task(api: Api) -> None:
    api.book.submit(1, body=Array(spec=TaskSpec(command=("x" * 100_000,)), size=1))
    await api.shown()
    (listed,) = (await api.json("tasks"))["items"]
    assert len(listed["command"][0]) < 20_000
    assert listed["command"][0].endswith("(100000 characters)")
    assert len((await api.json("tasks/1.0"))["command"][0]) == 100_000


async def test_rejected_tasks_show_their_own_reason(api: Api) -> None:
    array = api.book.submit(3)
    api.book.write(e.SubmissionRejected(submission=array, reason="one is bad", by_index=((1, "this one"),)))
    await api.shown()
    assert [t["reason"] for t in (await api.json("tasks"))["items"]] == ["one is bad", "this one", "one is bad"]
    assert (await api.json("submissions/1"))["status"] == "rejected"


async def test_the_spec_of_a_task_is_what_an_agent_would_be_told(api: Api) -> None:
    spec = TaskSpec(command=("a b", "é"), inputs=("s3://b/{index}",), env={"K": "v"}, memory=7)
    sub = api.book.submit(3, body=Array(spec=spec, size=3, start=10, step=5), user="ada", batch="b")
    await api.shown()
    found = await api.json(f"tasks/{sub}.2/spec")
    assert (found["label"], found["entry"], found["batch"], found["user"]) == (20, "", "b", "ada")
    assert msgspec.convert(found["spec"], TaskSpec) == spec


async def test_attempts_are_listed_the_first_one_first(api: Api) -> None:
    array = api.book.submit()
    api.book.assign(array, 0)
    api.book.write(e.WorkerLost(reason="silent"), "w1")
    api.book.requeue(array, 0, cause="worker-lost")
    api.book.assign(array, 0, n=2, worker="w2")
    api.book.end(array, 0, n=2, worker="w2", stdout=Output(3, "abc", digest="d"))
    api.book.end(array, 0, n=1, exit_code=0)
    await api.shown()
    first, second = (await api.json("tasks/1.0/attempts"))["items"]
    assert (first["id"], first["state"], first["worker"], first["exit_code"]) == ("1.0.1", "lost", "w1", 0)
    assert (second["id"], second["state"]) == ("1.0.2", "succeeded")
    assert second["stdout"] == {"size": 3, "digest": "d", "stored": ""}


async def test_history_tells_a_task_and_not_its_neighbours(api: Api) -> None:
    array = api.book.submit(3)
    api.book.write(e.SubmissionAccepted(submission=array, size=3))
    api.book.assign(array, 0, 1, 2)
    api.book.move(array, 0)
    api.book.end(array, 2)
    api.book.end(array, 1, outcome="failed", exit_code=3, cause="exit")
    api.book.write(e.TasksFailed(tasks=(TaskRange(array, 1, 1),), cause="exit", reason="no retries left"))
    await api.shown()
    lines = (await api.json("tasks/1.1/history"))["items"]
    assert [(line["seq"], line["author"], line["text"]) for line in lines] == [
        (1, "user ann", "submitted to batch b"),
        (2, "dispatch", "accepted"),
        (3, "dispatch", "attempt 1 assigned to w1"),
        (6, "worker w1", "attempt 1 failed (exit 3, exit)"),
        (7, "dispatch", "failed for good (exit, no retries left)"),
    ]


async def test_batches_have_counts_and_a_history(api: Api) -> None:
    array = api.book.submit(2)
    api.book.write(e.BatchPauseRequested(batch="b", freeze=True))
    api.book.write(e.BatchPaused(batch="b", frozen=True))
    api.book.assign(array, 0)
    api.book.end(array, 0, usage=Usage(started_at=1100, ended_at=1200))
    api.book.submit(1, batch="later")
    await api.shown()
    listed = await api.json("batches", limit=1)
    assert [b["name"] for b in listed["items"]] == ["later"]
    (batch,) = (await api.json("batches", cursor=listed["next"]))["items"]
    assert batch == await api.json("batches/b")
    assert (batch["states"], batch["paused"], batch["frozen"]) == ({"queued": 1, "succeeded": 1}, True, True)
    assert (batch["started_at"], batch["ended_at"]) == ("1970-01-01T00:18:20.000+00:00", None)
    texts = [line["text"] for line in (await api.json("batches/b/history"))["items"]]
    assert texts == [
        "submission 1 of 2 tasks",
        "asked to pause it and to freeze what runs",
        "paused, running attempts frozen",
    ]


async def test_workers_show_their_load_and_when_they_were_heard(api: Api) -> None:
    api.book.write(e.WorkerEnrolled(worker="w1", public_key="UABC", hostname="h1"), "")
    api.book.join("w1", concurrency=4, facts=HostFacts(cpus=2, gpu_names=("T4",)))
    array = api.book.submit(5)
    api.book.assign(array, 0, 1, 2)
    api.book.move(array, 1)
    api.book.write(e.WorkerPaused(), "w1")
    await api.shown()
    worker = await api.json("workers/w1")
    assert (worker["state"], worker["running"], worker["assigned"], worker["concurrency"]) == ("paused", 1, 3, 4)
    assert (worker["public_key"], worker["hostname"]) == ("UABC", "h1")
    assert worker["facts"] == {"cpus": 2, "gpu_names": ["T4"]}
    assert worker["last_seen_at"] == worker["joined_at"] == "1970-01-01T00:16:42.000+00:00"
    texts = [line["text"] for line in (await api.json("workers/w1/history"))["items"]]
    assert texts == [
        "enrolled with key UABC from h1",
        "joined (life 1) with 4 slots and automatic prefetch",
        "paused: nothing more is assigned",
    ]
    assert [w["name"] for w in (await api.json("workers"))["items"]] == ["w1"]


async def test_a_read_waits_for_what_was_written_and_says_when_it_does_not_come(api: Api, monkeypatch: Any) -> None:
    await api.shown()
    monkeypatch.setattr(Progress.passed, "__defaults__", (0.01,))
    late = await api.get("tasks", after=7)
    assert late.status_code == 504
    assert "at 0, not yet at 7" in late.json()["detail"]
    api.progress.reach(7)
    assert (await api.get("tasks", after=7)).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("tasks/1", 400, "looks like 1204.17"),
        ("tasks/1.0", 404, "no task 1.0"),
        ("tasks/1.99999999999999999999999", 400, "out of range"),
        ("tasks?state=odd", 400, "is not a state"),
        ("tasks?ids=odd", 400, "is not a task id"),
        ("tasks?cursor=odd", 400, "cursor"),
        ("tasks?limit=0", 400, "limit"),
        ("tasks?submission=99999999999999999999999", 400, "out of range"),
        ("batches/none", 404, "no batch 'none'"),
        ("workers/none", 404, "no worker 'none'"),
        ("submissions/5", 404, "no submission 5"),
        ("nothing", 404, "Not Found"),
    ],
)
async def test_errors_are_problem_documents_that_name_the_fix(api: Api, path: str, status: int, told: str) -> None:
    await api.shown()
    answer = await api.get(f"/api/v1/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.json()["detail"]


async def test_only_the_api_token_opens_reads(api: Api) -> None:
    await api.shown()
    for token in (None, "wrong", JOIN, TOKEN + "x", "é"):
        answer = await api.client.get(
            "/api/v1/tasks", headers={} if token is None else {"Authorization": f"Bearer {token}".encode()}
        )
        assert answer.status_code == 401
    assert (await api.client.post("/api/v1/projection/rebuild")).status_code == 401
    assert api.ensured == []


async def test_health_needs_no_token_and_tells_how_far_the_projection_is(api: Api) -> None:
    api.token = None
    assert (await api.get("/healthz")).status_code == 200
    away = await api.get("/readyz")
    assert (away.status_code, away.json()) == (503, {"ready": False, "position": 0, "last": 0, "passed_over": 0})
    api.last = 9
    api.progress.reach(4)
    ready = await api.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "position": 4, "last": 9, "passed_over": 0})
    api.book.unreadable()
    await api.shown()
    assert (await api.json("/readyz"))["passed_over"] == 1


async def test_reads_answer_503_while_the_database_is_away(api: Api) -> None:
    reader = await Reader.open("postgresql://test@/none?host=/nonexistent")
    house = api.client._transport.app.state.house  # type: ignore[attr-defined]
    api.client._transport.app.state.house = house._replace(reader=reader)  # type: ignore[attr-defined]
    answer = await api.get("tasks")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "PostgreSQL does not answer" in answer.json()["detail"]
    await reader.close()


async def test_rebuild_is_asked_for_by_post(api: Api) -> None:
    api.last = 12
    answer = await api.client.post("/api/v1/projection/rebuild", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()) == (202, {"position": 0, "last": 12})
    assert api.ensured == ["rebuilt"]


async def output(api: Api, **query: Any) -> tuple[bytes, int, bool]:
    answer = await api.get("tasks/1.0/output", **query)
    assert answer.status_code == 200, answer.text
    return answer.content, int(answer.headers["longshore-next-offset"]), answer.headers["longshore-ended"] == "true"


async def test_short_output_comes_from_the_report(api: Api) -> None:
    api.book.submit()
    api.book.assign(1, 0)
    api.book.end(1, 0, stdout=Output(6, "hello\n"), stderr=Output(2, "//4=", encoded=True))
    await api.shown()
    assert await output(api) == (b"hello\n", 6, True)
    assert await output(api, offset=2, limit=3) == (b"llo", 5, False)
    assert await output(api, stream="stderr") == (b"\xff\xfe", 2, True)
    assert await output(api, offset=100) == (b"", 100, True)


async def test_long_output_is_fetched_by_offset_from_its_pieces(api: Api) -> None:
    whole = bytes(range(256)) * (PIECE // 256) + b"the end"
    api.hub.buckets["out-w1"] = {
        "1.0.1.stdout.0.gz": gzip.compress(whole[:PIECE], 1),
        "1.0.1.stdout.1.gz": gzip.compress(whole[PIECE:], 1),
    }
    api.book.submit()
    api.book.assign(1, 0)
    api.book.end(1, 0, stdout=Output(len(whole), "the end", stored="nats:out-w1/1.0.1.stdout#2"))
    await api.shown()
    assert await output(api, offset=PIECE - 2) == (b"\xfe\xff", PIECE, False)
    assert await output(api, offset=PIECE) == (b"the end", PIECE + 7, True)
    del api.hub.buckets["out-w1"]["1.0.1.stdout.0.gz"]
    gone = await api.get("tasks/1.0/output")
    assert (gone.status_code, "is gone" in gone.json()["detail"]) == (404, True)


async def test_one_object_of_several_members_is_read_too(api: Api) -> None:
    api.hub.buckets["out-w1"] = {"1.0.1.stdout.gz": gzip.compress(b"one ") + gzip.compress(b"two")}
    api.book.submit()
    api.book.assign(1, 0)
    api.book.end(1, 0, stdout=Output(7, "two", stored="nats:out-w1/1.0.1.stdout.gz"))
    await api.shown()
    assert await output(api) == (b"one two", 7, True)
    api.hub.buckets["out-w1"]["1.0.1.stdout.gz"] = b"no gzip"
    assert (await api.get("tasks/1.0/output")).status_code == 502


async def test_output_of_a_running_attempt_is_asked_of_its_worker(api: Api) -> None:
    asked: list[Any] = []

    async def answer(body: bytes) -> bytes:
        asked.append(json.loads(body))
        return b'{"offset":3,"size":8,"ended":false}\nlive!'

    await api.hub.connect("worker", "w1").hints.answer(subjects.ask_output("w1"), answer)
    api.book.submit()
    await api.shown()
    assert await output(api) == (b"", 0, False)
    api.book.assign(1, 0)
    await api.shown()
    assert await output(api, offset=3, limit=10) == (b"live!", 8, False)
    assert asked == [{"attempt": "1.0.1", "stream": "stdout", "offset": 3, "limit": 10}]


async def test_a_silent_worker_and_a_lost_attempt_have_no_output(api: Api) -> None:
    api.book.submit()
    api.book.assign(1, 0)
    await api.shown()
    assert await output(api) == (b"", 0, False)
    api.book.write(e.WorkerLost(reason="silent"), "w1")
    await api.shown()
    assert await output(api) == (b"", 0, True)
    assert (await api.get("tasks/1.0/output", attempt=5)).status_code == 404


async def enrol(api: Api, name: str, key: str, hostname: str = "h", secret: str = JOIN) -> httpx.Response:
    body = {"name": name, "public_key": key, "hostname": hostname}
    return await api.client.post("/api/v1/workers/enrol", json=body, headers={"Authorization": f"Bearer {secret}"})


def key() -> str:
    return nats_keys.public_key(nats_keys.make_seed("user"))


async def enrolled(api: Api, *args: str) -> str:
    answer = await enrol(api, *args)
    assert answer.status_code == 200, answer.text
    api.book.records = list(api.hub.records)
    await api.shown()
    return str(answer.json()["worker"])


async def test_the_join_secret_makes_a_host_a_worker(api: Api) -> None:
    await api.shown()
    answer = await enrol(api, "Rack 7/Node.1", key())
    assert answer.status_code == 200
    assert answer.json()["worker"] == "rack-7-node-1"
    assert answer.json()["nats_url"] == "nats://here"
    claims = json.loads(_unb64(answer.json()["jwt"].split(".")[1]))
    assert "log.worker.rack-7-node-1.>" in claims["nats"]["pub"]["allow"]
    assert all("log.worker." not in s or "rack-7-node-1" in s for s in claims["nats"]["pub"]["allow"])
    assert api.ensured == ["rack-7-node-1"]
    assert api.hub.records[0].event == e.WorkerEnrolled(
        worker=answer.json()["worker"], public_key=claims["sub"], hostname="h"
    )


def _unb64(text: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_a_wrong_join_secret_and_a_wrong_key_are_refused(api: Api) -> None:
    await api.shown()
    for secret in ("", TOKEN, JOIN + "x"):
        assert (await enrol(api, "w", key(), secret=secret)).status_code == 401
    assert (await enrol(api, "w", "Uodd")).status_code == 400
    assert (await enrol(api, "...", key())).status_code == 400
    assert api.hub.records == []


async def test_the_same_key_is_the_same_worker_and_another_key_gets_another_name(api: Api) -> None:
    await api.shown()
    mine, theirs = key(), key()
    assert await enrolled(api, "w", mine, "h1") == "w"
    assert await enrolled(api, "w", mine, "h1") == "w"
    assert await enrolled(api, "w", theirs, "h2") == "w-2"
    assert await enrolled(api, "w", theirs, "h2") == "w-2"
    assert await enrolled(api, "w", key(), "h2") == "w-2"


async def test_a_host_set_up_anew_takes_its_name_back_only_when_its_worker_is_silent(api: Api) -> None:
    import asyncio

    await api.shown()
    assert await enrolled(api, "w", key(), "h1") == "w"
    listening = asyncio.create_task(api.heard.listen())
    await asyncio.sleep(0)
    await api.transport.hints.send(subjects.beat("w"), b"{}")
    async with asyncio.timeout(5):
        while api.heard.at("w") is None:
            await asyncio.sleep(0)
    assert await enrolled(api, "w", key(), "h1") == "w-2"
    api.clock.at += 60
    again = key()
    assert await enrolled(api, "w", again, "h1") == "w"
    assert (await api.json("workers/w"))["last_seen_at"] == "1970-01-01T01:23:20.000+00:00"
    listening.cancel()
    await asyncio.wait({listening})


async def test_an_enrolment_waits_for_the_read_model_and_then_says_it_is_away(api: Api, monkeypatch: Any) -> None:
    monkeypatch.setattr("longshore_api.adapters.issuer.PATIENCE", 0.01)
    answer = await enrol(api, "w", key())
    assert answer.status_code == 503
    assert "enrol again" in answer.json()["detail"]


async def test_the_openapi_document_describes_every_route_and_body(api: Api) -> None:
    document = await api.json("/schema/openapi.json")
    paths = document["paths"]
    assert {p for p in paths if "/tasks" in p} >= {
        "/api/v1/tasks", "/api/v1/tasks/{task}", "/api/v1/tasks/{task}/attempts", "/api/v1/tasks/{task}/spec",
        "/api/v1/tasks/{task}/history", "/api/v1/tasks/ranges", "/api/v1/tasks/{task}/output", "/api/v1/tasks/cancel",
    }  # fmt: skip
    names = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(names) == len(set(names))
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation["summary"], (path, method)
            if path.startswith("/api/v1/"):
                assert {"400", "429", "503"} <= operation["responses"].keys(), (path, method)
                assert method not in ("put", "patch") or operation["requestBody"], (path, method)
            ok = next(r for code, r in operation["responses"].items() if code.startswith("2"))
            assert ok.get("content"), (path, method)
    for wanted in ("Task", "TaskPage", "Attempt", "Batch", "Worker", "History"):
        assert wanted in document["components"]["schemas"]
    assert {p["name"] for p in paths["/api/v1/tasks"]["get"]["parameters"]} >= {
        "after", "batch", "state", "name", "worker", "user", "submission", "ids", "limit", "cursor",
    }  # fmt: skip


async def test_a_repeat_of_a_submission_points_at_the_first(api: Api) -> None:
    first, second = api.book.submit(2), api.book.submit(2)
    api.book.write(e.SubmissionDuplicated(submission=second, first=first))
    await api.shown()
    got = await api.json(f"submissions/{second}")
    assert (got["status"], got["duplicate_of"], got["states"]) == ("duplicate", first, {})
    assert len((await api.json("tasks"))["items"]) == 2


async def test_unreadable_events_do_not_hide_a_history(api: Api) -> None:
    api.book.submit()
    api.book.unreadable()
    await api.shown()
    assert len((await api.json("tasks/1.0/history"))["items"]) == 1
    assert SubmissionId(1) == 1


async def test_a_wish_is_answered_done_or_refused_with_the_reason_or_not_yet(api: Api) -> None:
    sub = api.book.submit(3)
    done = api.book.write(e.CancelRequested(tasks=(TaskRange(sub, 0, 0),)))
    part = api.book.write(e.CancelRequested(tasks=(TaskRange(sub, 1, 9),)))
    signal = api.book.write(e.SignalRequested(tasks=(TaskRange(sub, 2, 2),), signal="pause"))
    api.book.write(e.TasksCancelled(tasks=(TaskRange(sub, 0, 0),), request=done))
    api.book.write(e.TasksCancelled(tasks=(TaskRange(sub, 1, 2),), request=part))
    api.last = refused = api.book.write(e.RequestRefused(request=part, reason="1.3-9 is unknown"))
    api.book.write(e.AttemptsSignalled(attempts=(), wanted="pause", request=signal, more=True), "w1")
    await api.shown()
    assert await api.json(f"requests/{done}") == {
        "request": done, "answer": "done", "reason": None, "seq": part + 2, "workers": [], "cares": [],
    }  # fmt: skip
    assert await api.json(f"requests/{part}") == {
        "request": part, "answer": "refused", "reason": "1.3-9 is unknown", "seq": refused, "workers": [], "cares": [],
    }  # fmt: skip
    assert (await api.json(f"requests/{signal}", wait=0.01))["answer"] == "none"
    assert (await api.get("requests/99999999999999999999")).status_code == 400
    assert (await api.get(f"requests/{done}", wait=11)).status_code == 400


async def test_the_answer_to_a_wish_is_waited_for(api: Api) -> None:
    api.book.submit(1)
    wish = api.book.write(e.WorkerPauseRequested(workers=()))
    await api.shown()
    asked = asyncio.create_task(api.json(f"requests/{wish}", wait=10))
    while not api.progress.urgent.is_set():  # it waits
        await asyncio.sleep(0)
    api.last = api.book.write(e.RequestRefused(request=wish, reason="no worker is known"))
    await api.shown()
    assert (await asked)["answer"] == "refused"
