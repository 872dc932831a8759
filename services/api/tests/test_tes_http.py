"""The TES door: created, listed, shown in three views, cancelled; who may what; nothing a client sends breaks it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore_api.adapters import http
from longshore_api.adapters.keyring import Denied
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.store import rebuild
from longshore_api.adapters.tes.contents import KEPT, ORPHAN, Contents
from longshore_api.core.users import Visitor
from longshore_common import events as e
from longshore_common.errors import Unreachable
from longshore_common.ids import SubmissionId, TaskRange, attempt_id
from longshore_common.log import Entry
from longshore_common.model import Collected, Output, Retention, StepEnd, TaskSpec, Usage

from .test_http import Api

TASK: dict[str, Any] = {"executors": [{"image": "alpine", "command": ["true"]}]}
BASE = "/ga4gh/tes/v1"
SPEC = TaskSpec(command=("true",))


class Written:
    """The port of the log over the book of a test: an id counts once."""

    def __init__(self, book: Any) -> None:
        self.book, self.ids, self.away = book, dict[str, int](), False

    async def append(self, entry: Entry, *, fence: int = 0, deadline: float = 10) -> int:
        if self.away:
            raise Unreachable("the log is away")
        if entry.id not in self.ids:
            self.ids[entry.id] = self.book.write(entry.event, entry.name)
        return self.ids[entry.id]


class Doors:
    """Who shows what is whom."""

    people = {
        "root": Visitor("root", "admin"), "ann": Visitor("ann", "user"), "bob": Visitor("bob", "user"),
        "all": Visitor("", "viewer"),
    }  # fmt: skip

    async def visitor(self, shown: str, _: str) -> Visitor:
        if shown not in self.people:
            raise Denied("nobody knows you")
        return self.people[shown]


class Tes:
    """A client of the door."""

    def __init__(self, api: Api) -> None:
        self.api, self.book = api, api.book
        self.log = Written(api.book)
        self.contents = Contents(api.house.reader, "SAAAseed", "http://workers-reach-me", api.clock)
        house = api.house._replace(pen=Pen(self.log), contents=self.contents, keyring=Doors(), last=self._last)  # type: ignore[arg-type]
        self.house = house
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(http.application(house)), base_url="http://api")

    async def _last(self) -> int:
        if self.log.away:
            raise Unreachable("the log is away")
        return len(self.book.records)

    async def ask(self, method: str, path: str, *, as_: str | None = "ann", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {as_}"} if as_ else {}
        return await self.client.request(method, f"{BASE}/{path}", headers=headers | more.pop("headers", {}), **more)

    async def create(self, as_: str = "ann", **task: Any) -> str:
        answer = await self.ask("POST", "tasks", as_=as_, json=TASK | task)
        assert answer.status_code == 200, answer.text
        assert list(answer.json()) == ["id"]
        made: str = answer.json()["id"]
        return made

    async def created(self, as_: str = "ann", **task: Any) -> int:
        made = await self.create(as_, **task)
        await self.api.shown()
        return int(made.removesuffix(".0"))

    async def get(self, task: object, view: str | None = "FULL", as_: str = "ann") -> Any:
        query = {"view": view} if view else None
        answer = await self.ask("GET", f"tasks/{task}", params=query, as_=as_)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def list(self, **query: Any) -> Any:
        answer = await self.ask("GET", "tasks", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def tes(database: str, book: Any, project: Any) -> AsyncIterator[Tes]:
    reader = await Reader.open(database)
    api = Api(database, book, project, reader)
    made = Tes(api)
    yield made
    await made.client.aclose()
    await api.client.aclose()
    await api.house.pasts.close()  # type: ignore[union-attr]
    await reader.close()


def nowhere_null(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(nowhere_null, value.values()))
    if isinstance(value, list):
        return all(map(nowhere_null, value))
    return value is not None


def order(sid: int, n: int = 1, spec: TaskSpec = SPEC) -> e.AttemptsAssigned:
    starts = (e.Start(0, n),)
    return e.AttemptsAssigned(
        orders=(e.Order(submission=SubmissionId(sid), spec=spec, batch="tes", user="ann", starts=starts),)
    )


async def test_a_task_is_shown_in_three_views_and_only_full_has_what_its_inputs_hold(tes: Tes) -> None:
    posted: dict[str, Any] = {
        "name": "n", "description": "d", "tags": {"a": "b"}, "inputs": [{"path": "/s", "content": "s3cr3t"}],
        "outputs": [{"path": "/o", "url": "s3://b/o"}],
    }  # fmt: skip
    sid = await tes.created(**posted)
    assert await tes.get(f"{sid}.0", None) == {"id": f"{sid}.0", "state": "QUEUED"}
    basic = await tes.get(f"{sid}.0", "BASIC")
    assert basic["inputs"] == [{"path": "/s", "type": "FILE"}]
    assert (basic["name"], basic["description"], basic["tags"]) == ("n", "d", {"a": "b"})
    assert basic["outputs"] == [{"path": "/o", "url": "s3://b/o", "type": "FILE"}]
    assert basic["creation_time"].startswith("1970-01-01T")
    full = await tes.get(sid)
    assert full == basic | {"inputs": [{"path": "/s", "content": "s3cr3t", "type": "FILE"}]}
    assert nowhere_null(full)
    assert (await tes.get(sid, as_="root"))["inputs"][0]["content"] == "s3cr3t"
    for other in ("bob", "all"):
        assert "content" not in (await tes.get(sid, as_=other))["inputs"][0]


async def test_what_inputs_hold_is_fetched_by_its_address_while_the_task_goes_on_and_is_stored_encrypted(
    tes: Tes,
) -> None:
    sid = await tes.created(inputs=[{"path": "/s", "content": "s3cr3t"}])
    spec = tes.book.records[sid - 1].event.body.spec
    uri = spec.mounts[0].uri
    assert uri.startswith("http://workers-reach-me/api/v1/contents?token=")
    path = uri.removeprefix("http://workers-reach-me")
    answer = await tes.client.get(path)
    assert (answer.status_code, answer.content) == (200, b"s3cr3t")
    (row,) = await tes.api.house.reader.fetch("SELECT * FROM tes_content")
    assert b"s3cr3t" not in row["body"]
    assert uri.partition("=")[2] not in row["id"]
    assert (await tes.client.get("/api/v1/contents?token=guess")).status_code == 404
    tes.book.write(e.TasksCancelled(tasks=(TaskRange(SubmissionId(sid), 0, 0),), request=0, reason=""))
    await tes.api.shown()
    assert (await tes.client.get(path)).status_code == 404


async def test_who_may_not_see_what_inputs_hold_is_not_shown_its_address_either(tes: Tes) -> None:
    sid = await tes.created(
        inputs=[{"path": "/s", "content": "s3cr3t"}, {"path": "/t", "url": "https://h/t?token=t&x=y"}]
    )
    spec = tes.book.records[sid - 1].event.body.spec
    tes.book.write(order(sid, spec=spec), "w1")
    await tes.api.shown()
    for who, seen in (("ann", True), ("root", True), ("bob", False), ("all", False)):
        for query in ("", "?attempt=1"):
            headers = {"Authorization": f"Bearer {who}"}
            answer = await tes.client.get(f"/api/v1/tasks/{sid}.0/spec{query}", headers=headers)
            assert answer.status_code == 200
            assert (spec.mounts[0].uri in answer.text) is seen, (who, query)
            assert "/api/v1/contents?token=" in answer.text


async def test_a_rebuild_finds_all_of_it_again_and_contents_survive_it(tes: Tes, database: str) -> None:
    sid = await tes.created(name="n", tags={"a": "b"}, inputs=[{"path": "/s", "content": "s3cr3t"}])
    before = await tes.get(sid)
    await rebuild(database)
    assert (await tes.api.house.reader.fetch("SELECT count(*) AS n FROM tes"))[0]["n"] == 0
    tes.api.clock.at += 10 * KEPT
    await tes.contents.sweep()  # the read model knows no submission at this moment
    await tes.api.shown()
    assert await tes.get(sid) == before
    assert before["inputs"][0]["content"] == "s3cr3t"


async def test_what_only_pretends_to_be_a_tes_task_is_projected_and_not_shown(tes: Tes) -> None:
    for odd in (1, None, {}, {"task": []}, {"task": {}, "contents": {"0": 7}}):
        tes.book.submit(1, document={"tes": odd})
    tes.book.submit(
        1, name="\0", tags={"\0": "\0"}, document={"tes": {"task": {"executors": []}, "contents": {"0": "' OR"}}}
    )
    await tes.api.shown()
    (only,) = (await tes.list(view="FULL"))["tasks"]
    assert only["executors"] == []
    assert len(tes.book.records) == 6


async def test_the_address_is_good_before_the_submission_is_projected(tes: Tes) -> None:
    await tes.create(inputs=[{"path": "/s", "content": "x"}])
    uri = tes.book.records[-1].event.body.spec.mounts[0].uri
    assert (await tes.client.get(uri.removeprefix("http://workers-reach-me"))).content == b"x"


async def test_contents_go_after_their_tasks_retention_and_when_no_task_came_of_them(tes: Tes) -> None:
    first = await tes.created(inputs=[{"path": "/s", "content": "x"}])
    batch = {"resources": {"backend_parameters": {"batch": "quick"}}}
    await tes.created(inputs=[{"path": "/s", "content": "x"}], **batch)
    tes.book.write(e.BatchRetentionSet(batch="quick", retention=Retention(inputs=60)))
    open_one = await tes.created(inputs=[{"path": "/s", "content": "x"}])
    tes.log.away = True
    assert (await tes.ask("POST", "tasks", json=TASK | {"inputs": [{"path": "/s", "content": "x"}]})).status_code == 503
    tes.log.away = False
    for sid in (first, first + 1):
        tes.book.write(e.TasksCancelled(tasks=(TaskRange(SubmissionId(sid), 0, 0),), request=0, reason=""))
    await tes.api.shown()

    async def left() -> int:
        await tes.contents.sweep()
        return len(await tes.api.house.reader.fetch("SELECT 1 FROM tes_content"))

    tes.api.clock.at = 1_000.0 + len(tes.book.records) + 1
    assert await left() == 4
    tes.api.clock.at += 100
    assert await left() == 3  # that of batch quick is gone
    tes.api.clock.at = 5_000.0 + 2 * ORPHAN
    assert await left() == 3  # the projection is not past it yet: it could be rebuilding
    await tes.api.house.reader.fetch("UPDATE position SET at = $1", tes.api.clock.at)
    assert await left() == 2
    tes.api.clock.at += KEPT
    assert await left() == 1
    assert (await tes.get(open_one))["inputs"][0]["content"] == "x"


async def test_lists_are_newest_first_in_pages_with_filters(tes: Tes) -> None:
    ids = []
    for n, name in enumerate(["alpha", "alp_", "beta", "al%pha"]):
        ids.append(await tes.created(name=name, tags={"n": str(n), "kind": "even" if n % 2 == 0 else "odd", "e": ""}))
    tes.book.submit(3)  # no TES task
    await tes.api.shown()
    names = [t["id"] for t in (await tes.list())["tasks"]]
    assert names == [f"{sid}.0" for sid in reversed(ids)]
    first = await tes.list(page_size=3)
    assert len(first["tasks"]) == 3
    second = await tes.list(page_size=3, page_token=first["next_page_token"])
    assert [t["id"] for t in second["tasks"]] == [f"{ids[0]}.0"]
    assert "next_page_token" not in second

    async def chosen(**query: Any) -> list[int]:
        return sorted(ids.index(int(t["id"].removesuffix(".0"))) for t in (await tes.list(**query))["tasks"])

    assert await chosen(name_prefix="al") == [0, 1, 3]
    assert await chosen(name_prefix="alp_") == [1]
    assert await chosen(name_prefix="al%") == [3]
    assert await chosen(tag_key="kind", tag_value="odd") == [1, 3]
    assert await chosen(tag_key=["kind", "n"], tag_value=["even", "2"]) == [2]
    assert await chosen(tag_key=["n", "kind"], tag_value=["1"]) == [1]
    assert await chosen(tag_key="e") == [0, 1, 2, 3]
    assert await chosen(tag_key="absent") == []
    assert await chosen(tag_key=["n", "n"], tag_value=["1", "2"]) == []
    assert await chosen(state="COMPLETE") == []
    assert await chosen(state="QUEUED", name_prefix="beta") == [2]


async def test_a_list_has_what_was_submitted_before_it_was_asked_for(tes: Tes) -> None:
    made = await tes.create()
    asked = asyncio.create_task(tes.list())
    seen = asyncio.create_task(tes.get(made, None))
    while not tes.api.progress.urgent.is_set():
        await asyncio.sleep(0.001)
    await tes.api.shown()
    assert (await asked)["tasks"][0]["id"] == made
    assert (await seen)["state"] == "QUEUED"


async def test_every_state_is_told_and_can_be_asked_for(tes: Tes) -> None:
    found: dict[str, int] = {}

    async def new(**task: Any) -> int:
        return await tes.created(**task)

    def worker(sid: int, n: int = 1) -> int:
        tes.book.write(order(sid, n), "w1")
        return sid

    def failed(sid: int, cause: str, **more: Any) -> int:
        tes.book.end(worker(sid), 0, outcome="failed", cause=cause, reason="why", **({"exit_code": None} | more))
        tes.book.write(e.TasksFailed(tasks=(TaskRange(SubmissionId(sid), 0, 0),), cause=cause, reason="why"))  # type: ignore[arg-type]
        return sid

    found["QUEUED"] = await new()
    found["INITIALIZING"] = worker(await new())
    found["RUNNING"] = worker(await new())
    tes.book.move(found["RUNNING"], 0)
    found["PAUSED"] = worker(await new())
    tes.book.move(found["PAUSED"], 0, paused=True)
    found["COMPLETE"] = worker(await new())
    tes.book.end(found["COMPLETE"], 0)
    found["EXECUTOR_ERROR"] = failed(await new(), "exit", exit_code=3)
    found["SYSTEM_ERROR"] = failed(await new(), "stage-in")
    stops = {"resources": {"backend_parameters": {"preemption": "stop"}}}
    found["PREEMPTED"] = failed(await new(**stops), "evicted")
    found["CANCELED"] = await new()
    tes.book.write(e.TasksCancelled(tasks=(TaskRange(SubmissionId(found["CANCELED"]), 0, 0),), request=0, reason=""))
    evicted = failed(await new(), "evicted")
    await tes.api.shown()
    for state, sid in found.items():
        assert (await tes.get(sid, None))["state"] == state
        listed = {t["id"] for t in (await tes.list(state=state))["tasks"]}
        assert listed == {f"{sid}.0"} | ({f"{evicted}.0"} if state == "SYSTEM_ERROR" else set())
    assert (await tes.get(evicted, None))["state"] == "SYSTEM_ERROR"
    for none in ("CANCELING", "UNKNOWN"):
        assert (await tes.list(state=none))["tasks"] == []
    assert (await tes.get(found["SYSTEM_ERROR"]))["logs"][0]["system_logs"] == ["stage-in: why"]
    held = worker(await new())
    tes.book.requeue(held, 0, cause="host", reason="disk")
    tes.book.write(e.TasksHeld(tasks=(TaskRange(SubmissionId(held), 0, 0),), request=1))
    await tes.api.shown()
    assert (await tes.get(held, None))["state"] == "PAUSED"


async def test_each_attempt_has_a_log_with_its_executors_and_outputs(tes: Tes) -> None:
    sid = await tes.created(executors=TASK["executors"] * 2, resources={"zones": ["z"]})
    tes.book.write(order(sid), "w1")
    tes.book.end(sid, 0, outcome="failed", cause="exit", exit_code=1, reason="exit code 1", stderr=Output(3, "bad"))
    tes.book.requeue(sid, 0, cause="exit", reason="exit code 1")
    tes.book.write(order(sid, 2), "w1")
    steps = (StepEnd(0, 100.0, 101.0, stdout=5000), StepEnd(0, 101.0, 102.0, stdout=4, stderr=2))
    usage = Usage(started_at=100.0, ended_at=102.0)
    tail = "x" * 4092 + "last"
    tes.book.end(
        sid, 0, n=2, steps=steps, usage=usage, collected=(Collected("/o", "s3://b/o", 7, "d"),),
        stdout=Output(5004, tail, stored="nats:x/y"), stderr=Output(2, "hm"),
    )  # fmt: skip
    await tes.api.shown()
    full = await tes.get(sid)
    assert full["state"] == "COMPLETE"
    one, two = full["logs"]
    assert [log["exit_code"] for log in one["logs"]] == [1]
    assert one["logs"][0]["stderr"] == "bad"
    assert (one["metadata"]["attempt"], one["metadata"]["worker"]) == (attempt_id(sid, 0, 1), "w1")
    assert one["system_logs"] == ["exit: exit code 1"]
    assert one["outputs"] == []
    assert [(log["exit_code"], log.get("stdout"), log.get("stderr")) for log in two["logs"]] == [
        (0, "x" * 4092, None), (0, "last", "hm"),
    ]  # fmt: skip
    assert two["outputs"] == [{"url": "s3://b/o", "path": "/o", "size_bytes": "7"}]
    assert two["start_time"] == "1970-01-01T00:01:40.000+00:00"
    assert two["system_logs"] == ["resources.zones are not used here"]
    assert nowhere_null(full)
    basic = await tes.get(sid, "BASIC")
    assert "system_logs" not in json.dumps(basic)
    assert all("stdout" not in log for attempt in basic["logs"] for log in attempt["logs"])
    assert (await tes.list(view="FULL"))["tasks"] == [full]
    assert (await tes.list(view="BASIC"))["tasks"] == [basic]


async def test_a_task_that_is_rejected_says_why(tes: Tes) -> None:
    sid = await tes.created()
    tes.book.write(e.SubmissionRejected(submission=SubmissionId(sid), reason="it cannot be"))
    await tes.api.shown()
    full = await tes.get(sid)
    assert (full["state"], full["logs"]) == (
        "SYSTEM_ERROR",
        [{"logs": [], "outputs": [], "system_logs": ["it cannot be"]}],
    )


async def test_owners_and_admins_cancel_and_a_repeat_is_harmless(tes: Tes) -> None:
    sid = await tes.created()
    for who, status in (("bob", 403), ("all", 403), (None, 401), ("nobody", 401)):
        assert (await tes.ask("POST", f"tasks/{sid}.0:cancel", as_=who)).status_code == status
    for who in ("ann", "root"):
        answer = await tes.ask("POST", f"tasks/{sid}.0:cancel", as_=who, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()) == (200, {})
        record = tes.book.records[-1]
        assert (record.author.name, record.event) == (
            who,
            e.CancelRequested(tasks=(TaskRange(SubmissionId(sid), 0, 0),)),
        )
    tes.book.write(e.TasksCancelled(tasks=(TaskRange(SubmissionId(sid), 0, 0),), request=0, reason=""))
    await tes.api.shown()
    before = len(tes.book.records)
    assert (await tes.ask("POST", f"tasks/{sid}.0:cancel")).json() == {}
    assert len(tes.book.records) == before
    assert (await tes.ask("POST", "tasks/77.0:cancel")).status_code == 404
    assert (await tes.ask("POST", f"tasks/{sid}.0:pause")).status_code == 404


async def test_who_comes_in(tes: Tes) -> None:
    sid = await tes.created()
    basic = base64.b64encode(b"whoever:ann").decode()
    headers = {"Authorization": f"Basic {basic}"}
    assert (await tes.ask("GET", f"tasks/{sid}", as_=None, headers=headers)).status_code == 200
    made = await tes.ask("POST", "tasks", as_=None, headers=headers, json=TASK)
    assert made.status_code == 200
    assert tes.book.records[-1].author.name == "ann"
    for odd in ("Basic Tm9uZTpOb25l", "Basic !!", "Basic", "Digest x", ""):
        for path in ("tasks", "service-info", f"tasks/{sid}"):
            assert (await tes.ask("GET", path, as_=None, headers={"Authorization": odd})).status_code == 401
    assert (await tes.ask("POST", "tasks", as_="all", json=TASK)).status_code == 403
    assert (await tes.ask("GET", "tasks", as_="all")).status_code == 200
    # basic is for this door alone
    assert (await tes.client.get("/api/v1/tasks", headers=headers)).status_code == 401


async def test_a_repeated_idempotency_key_is_one_task(tes: Tes) -> None:
    ids = set()
    for who in ("ann", "ann", "bob"):
        answer = await tes.ask("POST", "tasks", as_=who, json=TASK, headers={"Idempotency-Key": "k"})
        ids.add(answer.json()["id"])
    assert len(ids) == 2
    tes.log.ids.clear()  # the server forgets ids sooner than the dispatcher keys
    again = (await tes.ask("POST", "tasks", json=TASK, headers={"Idempotency-Key": "k"})).json()["id"]
    first, last = SubmissionId(1), SubmissionId(int(again.removesuffix(".0")))
    tes.book.write(e.SubmissionDuplicated(submission=last, first=first))
    await tes.api.shown()
    assert (await tes.get(last, None))["id"] == "1.0"
    assert [t["id"] for t in (await tes.list())["tasks"]] == ["2.0", "1.0"]


async def test_tasks_that_did_not_come_by_this_door_or_were_deleted_are_not_shown(tes: Tes) -> None:
    other = tes.book.submit()
    sid = await tes.created()
    tes.book.write(e.TasksDeleted(tasks=(TaskRange(SubmissionId(sid), 0, 0),), request=1, user="ann"))
    await tes.api.shown()
    for task in (other, sid, f"{sid}.1", "x", "1.2.3", "0.0", "-1", 1 << 70, 999, "9" * 5000):
        assert (await tes.ask("GET", f"tasks/{task}")).status_code == 404, task
    assert (await tes.list())["tasks"] == []


async def test_service_info_names_what_is_supported_and_old_clients_are_told_no_more_than_they_know(tes: Tes) -> None:
    info = (await tes.ask("GET", "service-info")).json()
    assert info["type"] == {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"}
    assert "walltime" in info["tesResources_backend_parameters"]
    assert {"id", "name", "organization", "version"} < set(info)
    assert set((await tes.ask("GET", "tasks/service-info")).json()) == {"name", "doc", "storage"}


async def test_misuse_is_told_with_its_remedy(tes: Tes) -> None:
    for query in ({"view": "ALL"}, {"state": "DONE"}, {"page_size": -1}, {"page_size": "x"}, {"page_token": "!"}):
        answer = await tes.ask("GET", "tasks", params=query)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), query
    strict = {"resources": {"backend_parameters": {"queue": "a"}, "backend_parameters_strict": True}}
    answer = await tes.ask("POST", "tasks", json=TASK | strict)
    assert answer.status_code == 400
    assert "walltime" in answer.json()["detail"]
    assert (await tes.list(page_size=100_000))["tasks"] == []


async def test_any_content_type_is_taken_and_a_body_without_end_is_not(tes: Tes) -> None:
    for kind in ("text/plain", "application/json; charset=utf-8", "application/x-www-form-urlencoded", ""):
        answer = await tes.ask("POST", "tasks", content=json.dumps(TASK), headers={"Content-Type": kind})
        assert answer.status_code == 200, (kind, answer.text)
    large = json.dumps(TASK | {"inputs": [{"path": "/a", "content": "x" * 5_000_000}]})
    assert (await tes.ask("POST", "tasks", content=large)).status_code == 200
    assert (await tes.ask("POST", "tasks", content="x" * (33 << 20))).status_code == 413


async def test_without_postgresql_tasks_are_taken_unless_they_bring_contents_and_reads_are_put_off(tes: Tes) -> None:
    nowhere = await Reader.open("postgresql://test@127.0.0.1:1/nothing")
    lost = Contents(nowhere, "SAAAseed", "http://workers-reach-me", tes.api.clock)
    house = tes.house._replace(reader=nowhere, contents=lost)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(http.application(house)), base_url="http://api"
    ) as client:
        headers = {"Authorization": "Bearer ann"}
        assert (await client.post(f"{BASE}/tasks", json=TASK, headers=headers)).status_code == 200
        before = len(tes.book.records)
        with_content = TASK | {"inputs": [{"path": "/s", "content": "x"}]}
        answers = [await client.post(f"{BASE}/tasks", json=with_content, headers=headers)]
        tes.api.progress.reach(before)
        for path in ("tasks", "tasks/1.0", "tasks/1.0?view=FULL"):
            answers.append(await client.get(f"{BASE}/{path}", headers=headers))
        answers.append(await client.get("/api/v1/contents?token=x"))
        assert [answer.status_code for answer in answers] == [503] * 5
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        assert len(tes.book.records) == before
    await nowhere.close()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=4), deeper, max_size=3),
    max_leaves=6,
)
FIELDS = ("name", "description", "inputs", "outputs", "resources", "executors", "volumes", "tags", "id", "logs")
PARTS = ("path", "url", "content", "type", "image", "command", "env", "cpu_cores", "backend_parameters", "path_prefix")
parts = st.dictionaries(st.sampled_from(PARTS), json_values | st.sampled_from(["/a/*", "s3://b/k", "FILE"]), max_size=5)
words = st.text(st.characters(exclude_characters="\0"), max_size=8)
inputs = st.fixed_dictionaries(
    {"path": st.integers(0, 9).map("/in/{}".format)},
    optional={
        "content": st.text(max_size=9), "url": st.just("s3://b/k"), "name": words | st.none(), "streamable": st.booleans(),
    },
)  # fmt: skip
resources = {
    "cpu_cores": st.integers(0, 64), "ram_gb": st.floats(0, 1000),
    "backend_parameters": st.dictionaries(words, words, max_size=2),
}  # fmt: skip
sound = {
    "name": words, "description": words, "tags": st.dictionaries(words, words, max_size=3),
    "inputs": st.lists(inputs, max_size=2), "resources": st.fixed_dictionaries({}, optional=resources),
}  # fmt: skip
wild = st.dictionaries(st.sampled_from(FIELDS), json_values | parts | st.lists(parts, max_size=2), max_size=5)
tasks = st.fixed_dictionaries({}, optional=sound)
bodies = st.one_of(
    tasks.map(lambda task: json.dumps(TASK | task).encode()),
    st.tuples(tasks, wild).map(lambda both: json.dumps(TASK | both[0] | both[1]).encode()),
    wild.map(lambda task: json.dumps(task).encode()),
    st.binary(max_size=20),
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies)
def test_no_body_breaks_it(tes_runner: Any, body: bytes) -> None:
    answer = tes_runner("POST", "tasks", content=body)
    assert answer.status_code in (200, 400, 403), answer.text
    if answer.status_code == 200:
        assert set(answer.json()) == {"id"}


texts = st.text(max_size=12) | st.sampled_from(["FULL", "RUNNING", "\0", "1.0", "%", "\\", "9" * 30])
QUERY = ("name_prefix", "state", "tag_key", "tag_value", "page_size", "page_token", "view", "odd")
queries = st.lists(st.tuples(st.sampled_from(QUERY), texts | st.integers().map(str)), max_size=5)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries, task=texts, cancel=st.booleans())
def test_no_question_breaks_it(tes_runner: Any, query: list[tuple[str, str]], task: str, cancel: bool) -> None:
    listed = tes_runner("GET", "tasks", params=query)
    assert listed.status_code in (200, 400), listed.text
    path = f"tasks/{quote(task, safe='')}{':cancel' if cancel else ''}"
    answer = tes_runner("POST" if cancel else "GET", path, params=query)
    assert answer.status_code in (200, 400, 404, 405), answer.text


@pytest.fixture(scope="module")
def tes_runner(two_databases: tuple[str, str], new_book: Any, project: Any) -> Any:
    with asyncio.Runner() as runner:

        async def start() -> tuple[Tes, Api]:
            api = Api(two_databases[0], new_book(), project, await Reader.open(two_databases[0]))
            return Tes(api), api

        tes, api = runner.run(start())

        async def ask(method: str, path: str, **more: Any) -> httpx.Response:
            if (path, method) != ("tasks", "POST") and api.progress.position < len(api.book.records):
                await api.shown()
            return await tes.ask(method, path, **more)

        yield lambda *words, **more: runner.run(ask(*words, **more))
        runner.run(api.shown())  # all of it can be projected
        rows = runner.run(api.house.reader.fetch("SELECT count(*) AS n FROM tes"))
        made = [record for record in api.book.records if isinstance(record.event, e.TasksSubmitted)]
        assert rows[0]["n"] == len(made) > 30
        listed = runner.run(tes.list(view="FULL"))
        assert nowhere_null(listed)
        runner.run(tes.client.aclose())
        runner.run(api.client.aclose())
        runner.run(api.house.reader.close())
