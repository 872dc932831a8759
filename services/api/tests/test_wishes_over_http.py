"""Submitting and steering over HTTP: what reaches the log, once by key, and what is refused with the field and the remedy."""

import zlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from services.api.tests.live import Live, living

from longshore_common import codec
from longshore_common import events as e
from longshore_common import model as m
from longshore_common.errors import Unreachable
from longshore_common.ids import SubmissionId, TaskRange


@pytest.fixture
async def live(database: str, project: Any) -> AsyncIterator[Live]:
    async with living(database, project) as made:
        yield made


async def submitted(live: Live, size: int = 10, *, by: str = "ann", batch: str = "b") -> int:
    """A submission in the read model."""
    body = {"task": {"command": ["true"]}, "size": size, "batch": batch}
    receipt = await live.ok("POST", "/submissions", body, by=by)
    await live.shown()
    return int(receipt["id"])


# --- submitting -------------------------------------------------------------------------------------------------------


async def test_one_task_is_submitted_with_all_that_can_be_said_of_it(live: Live) -> None:
    body = {
        "batch": "fits", "name": "night", "priority": 3, "max_running": 2, "hold": True, "tags": {"lab": "x"},
        "description": "why", "task": {"command": ["fit", "7"], "cpus": 2, "memory": 1 << 30, "env": {"A": "b"}},
    }  # fmt: skip
    receipt = await live.ok("POST", "/submissions", body)
    event = live.event(receipt["seq"])
    assert live.hub.records[0].subject == "log.user.ann.wish"
    assert (receipt["id"], receipt["size"], receipt["status"]) == (1, 1, "submitted")
    assert event.body.spec == m.TaskSpec(command=("fit", "7"), cpus=2, memory=1 << 30, env={"A": "b"})
    assert (event.batch, event.name, event.priority, event.held, event.tags) == ("fits", "night", 3, True, {"lab": "x"})


async def test_an_array_has_indices_or_entries(live: Live) -> None:
    await live.ok("POST", "/submissions", {"task": {"command": ["true"]}, "size": 5, "start": 10, "step": 2})
    await live.ok("POST", "/submissions", {"task": {"command": ["true"]}, "entries": ["a", "b"]})
    assert live.event(1).body == m.Array(spec=m.TaskSpec(command=("true",)), size=5, start=10, step=2)
    assert live.event(2).body.entries == ("a", "b")


async def test_different_tasks_may_require_each_other_by_id_or_ordinal(live: Live) -> None:
    tasks = [{"id": "a", "command": ["a"]}, {"command": ["b"], "requires": ["a", 2]}, {"command": ["c"]}]
    await live.ok("POST", "/submissions", {"tasks": tasks})
    body = live.event(1).body
    assert [spec.command[0] for spec in body.specs] == ["a", "b", "c"]
    assert set(body.edges) == {(1, 0), (1, 2)}


async def test_many_tasks_go_in_parts_and_count_as_one_submission(live: Live) -> None:
    tasks = [{"command": ["run", str(k)]} for k in range(2_500)]
    receipt = await live.ok("POST", "/submissions", {"tasks": tasks})
    events = [r.event for r in live.hub.records]
    assert [type(event) for event in events] == [e.SubmissionPartSent] * 3 + [e.TasksSubmitted]
    assert (receipt["seq"], receipt["size"]) == (4, 2_500)
    assert events[-1].body == m.Parts(parts=3, size=2_500)
    assert sum(len(event.specs) for event in events[:3]) == 2_500
    await live.shown()
    assert (await live.ok("GET", f"/tasks/{receipt['id']}.2400"))["command"] == ["run", "2400"]


async def test_a_task_that_cannot_be_read_is_named_with_its_field(live: Live) -> None:
    tasks: list[dict[str, Any]] = [{"command": ["a"]}, {"command": ["b"], "memory": "4G"}, {"cmd": ["c"]}]
    answer = await live.send("POST", "/submissions", {"tasks": tasks})
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert [fault["field"] for fault in problem["errors"]] == ["tasks[1].memory", "tasks[2]"]
    assert live.hub.records == []


async def test_in_part_the_good_ones_are_submitted_and_each_has_its_outcome(live: Live) -> None:
    tasks: list[dict[str, Any]] = [{"command": ["a"]}, {"command": ["b"], "memory": "4G"}, {"command": ["c"]}]
    receipt = await live.ok("POST", "/submissions", {"tasks": tasks}, query={"partial": True})
    assert [item.get("task") for item in receipt["items"]] == ["1.0", None, "1.1"]
    assert receipt["items"][1]["errors"][0]["field"] == "tasks[1].memory"
    assert [spec.command[0] for spec in live.event(1).body.specs] == ["a", "c"]


@pytest.mark.parametrize(("body", "field"), [
    ({}, "tasks"),
    ({"task": {"command": ["a"]}, "tasks": [{"command": ["b"]}]}, "tasks"),
    ({"task": {"command": ["a"]}, "size": 0}, "size"),
    ({"task": {"command": ["a"]}, "size": 3, "entries": ["a"]}, "entries"),
    ({"task": {"command": ["a"]}, "batch": "Not One"}, "batch"),
    ({"task": {"command": ["a"]}, "nonsense": 1}, ""),
    ({"task": {"command": "a"}}, "task.command"),
])  # fmt: skip
async def test_what_nobody_can_mean_is_refused_by_its_field(live: Live, body: Any, field: str) -> None:
    answer = await live.send("POST", "/submissions", body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert live.hub.records == []


async def test_a_submission_can_be_waited_for(live: Live) -> None:
    receipt = await live.ok("POST", "/submissions", {"tasks": [{"command": [""]}, {"command": ["b"]}]}, key="k1")
    await live.answer(
        e.SubmissionRejected(submission=SubmissionId(1), reason="task 0: empty", by_index=((0, "empty"),))
    )
    await live.shown()
    again = await live.send("POST", "/submissions", {"tasks": [{"command": [""]}, {"command": ["b"]}]},
                            key="k1", query={"wait": 1})  # fmt: skip
    assert receipt["status"] == "submitted"
    assert again.status_code == 409  # the query is part of the request
    other = await live.ok("POST", "/submissions", {"task": {"command": ["x"]}}, query={"wait": 0.1})
    assert other["status"] == "submitted"


async def test_a_repeat_with_the_same_key_is_the_same_submission(live: Live) -> None:
    body = {"tasks": [{"command": ["run", str(k)]} for k in range(1_500)]}
    first = await live.ok("POST", "/submissions", body, key="once")
    second = await live.ok("POST", "/submissions", body, key="once")
    assert first == second
    assert len(live.hub.records) == 3
    other = await live.send("POST", "/submissions", {"task": {"command": ["x"]}}, key="once")
    assert other.status_code == 409
    assert (await live.ok("POST", "/submissions", body, key="once", by="bob"))["seq"] != first["seq"]


async def test_another_process_knows_the_key_too(live: Live, database: str, project: Any) -> None:
    body = {"task": {"command": ["true"]}}
    first = await live.ok("POST", "/submissions", body, key="once")
    async with living(database, project) as other:
        assert await other.ok("POST", "/submissions", body, key="once") == first
        assert other.hub.records == []


async def test_submits_work_while_postgresql_is_away_and_reads_say_when_to_come_again(
    live: Live, monkeypatch: Any
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Unreachable("PostgreSQL does not answer")

    monkeypatch.setattr(live.reader, "fetch", away)
    live.reader._together._fetch = away
    receipt = await live.ok("POST", "/submissions", {"task": {"command": ["true"]}, "size": 3}, key="k")
    assert receipt == await live.ok("POST", "/submissions", {"task": {"command": ["true"]}, "size": 3}, key="k")
    assert (await live.ok("POST", "/tasks/cancel", {"tasks": ["1.0-2"]}))["seq"] == 2
    for path in ("/tasks", "/tasks/1.0", "/batches"):
        answer = await live.send("GET", path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


# --- steering ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body", "event"), [
    ("/tasks/cancel", {"kill": True}, e.CancelRequested(tasks=(TaskRange(SubmissionId(1), 0, 4),), kill=True)),
    ("/tasks/retry", {}, e.RetryRequested(tasks=(TaskRange(SubmissionId(1), 0, 4),))),
    ("/tasks/signal", {"signal": "SIGUSR1"}, e.SignalRequested(tasks=(TaskRange(SubmissionId(1), 0, 4),), signal="SIGUSR1")),
    ("/tasks/hold", {}, e.SignalRequested(tasks=(TaskRange(SubmissionId(1), 0, 4),), signal="pause")),
    ("/tasks/release", {}, e.SignalRequested(tasks=(TaskRange(SubmissionId(1), 0, 4),), signal="continue")),
    ("/tasks/edit", {"set": {"memory": 5}},
     e.EditRequested(tasks=(TaskRange(SubmissionId(1), 0, 4),), change=m.Change(set={"memory": 5}))),
    ("/tasks/delete", {}, e.DeleteRequested(tasks=(TaskRange(SubmissionId(1), 0, 4),))),
    ("/tasks/restore", {}, e.DeleteRequested(tasks=(TaskRange(SubmissionId(1), 0, 4),), restore=True)),
])  # fmt: skip
async def test_each_verb_is_a_wish(live: Live, path: str, body: dict[str, Any], event: e.Event) -> None:
    await submitted(live, 10)
    receipt = await live.ok("POST", path, {"tasks": ["1.0-4"]} | body)
    assert (receipt["seqs"], receipt["tasks"], receipt["answer"]) == ([2], 5, None)
    assert live.event(2) == event


async def test_tasks_are_named_by_submission_batch_or_filter(live: Live) -> None:
    await submitted(live, 10)
    await live.ok("POST", "/tasks/cancel", {"tasks": ["1"]})
    await live.ok("POST", "/tasks/cancel", {"batch": "b"})
    await live.ok("POST", "/tasks/cancel", {"filter": {"state": "queued"}})
    assert live.event(2).tasks == live.event(4).tasks == (TaskRange(SubmissionId(1), 0, 9),)
    assert (live.event(3).batch, live.event(3).tasks) == ("b", ())
    for wrong in ({}, {"tasks": ["1"], "batch": "b"}, {"tasks": ["nonsense"]}, {"tasks": ["1.5-2"]}):
        assert (await live.send("POST", "/tasks/cancel", wrong)).status_code == 400
    assert (await live.send("POST", "/tasks/cancel", {"filter": {"state": "failed"}})).status_code == 404


async def test_a_filter_is_about_ones_own_tasks_unless_it_says_otherwise(live: Live) -> None:
    await submitted(live, 2)
    await submitted(live, 3, by="bob")
    await live.ok("POST", "/tasks/cancel", {"filter": {}})
    assert [r.submission for r in live.event(3).tasks] == [1]
    await live.ok("POST", "/tasks/cancel", {"filter": {"user": "*"}}, by="root")
    assert [r.submission for r in live.event(4).tasks] == [1, 2]
    assert (await live.send("POST", "/tasks/cancel", {"filter": {"user": "*"}})).status_code == 403


async def test_a_wish_can_be_previewed_and_nothing_changes(live: Live) -> None:
    asked = await live.asked_of(lambda _: {"seq": 5, "outcomes": [{"text": "tasks cancelled", "count": 3}]})
    told = await live.ok("POST", "/tasks/cancel", {"tasks": ["1.0-2"]}, query={"preview": True})
    assert told["outcomes"] == [{"text": "tasks cancelled", "count": 3}]
    assert asked[0]["user"] == "ann"
    assert asked[0]["body"]["wish"]["type"] == "cancel-requested"
    assert live.hub.records == []


async def test_the_answer_to_a_wish_comes_with_it_if_it_is_waited_for(live: Live) -> None:
    await submitted(live, 3)
    await live.answer(e.RequestRefused(request=3, reason="nothing to cancel"))
    receipt = await live.ok("POST", "/tasks/cancel", {"tasks": ["1"]})
    await live.shown()
    assert receipt["seq"] == 3
    told = await live.ok("GET", "/requests/3")
    assert (told["answer"], told["reason"]) == ("none", None)  # it was answered before it was asked


async def test_batches_workers_and_what_governs_all(live: Live) -> None:
    await submitted(live, 2)
    sent = [
        ("POST", "/batches/b/pause", {"freeze": True}, "ann", e.BatchPauseRequested(batch="b", freeze=True)),
        ("POST", "/batches/b/resume", None, "ann", e.BatchResumeRequested(batch="b")),
        ("PUT", "/batches/b/retention", {"logs": 60}, "ann",
         e.BatchRetentionRequested(batch="b", retention=m.Retention(logs=60))),
        ("POST", "/undo", {}, "ann", e.UndoRequested()),
        ("POST", "/workers/pause", {"workers": ["w1"], "drain": True}, "root",
         e.WorkerPauseRequested(workers=("w1",), drain=True)),
        ("POST", "/workers/resume", None, "root", e.WorkerResumeRequested()),
        ("POST", "/workers/resize", {"concurrency": -1}, "root", e.WorkerResizeRequested(concurrency=-1)),
        ("POST", "/workers/move", {"batch": "*"}, "root", e.WorkerMoveRequested(batch="*")),
        ("POST", "/workers/care", {"care": "clean"}, "root", e.WorkerCareRequested(care="clean")),
        ("PUT", "/shares/batch/b", {"weight": 2}, "root", e.ShareRequested(kind="batch", name="b", weight=2)),
        ("DELETE", "/shares/user/ann", None, "root", e.ShareRequested(kind="user", name="ann", weight=1, max_running=0)),
        ("PUT", "/policy", {"half_life": 60}, "root", e.PolicyRequested(policy=m.Policy(half_life=60))),
        ("PATCH", "/policy", {"trouble": {"*": 4}}, "root", e.PolicyRequested(policy=m.Policy(trouble={"*": 4}))),
    ]  # fmt: skip
    for method, path, body, by, event in sent:
        receipt = await live.ok(method, path, body, by=by)
        assert live.event(receipt["seq"]) == event, path
        if by == "root":
            assert (await live.send(method, path, body, by="ann")).status_code == 403


async def test_who_may_not_is_told_so_early(live: Live) -> None:
    await submitted(live, 2)
    assert (await live.send("POST", "/tasks/cancel", {"tasks": ["1.0"]}, by="bob")).status_code == 403
    assert (await live.send("POST", "/batches/b/pause", {}, by="bob")).status_code == 403
    assert (
        await live.send("POST", "/tasks/cancel", {"batch": "b"}, by="bob")
    ).status_code == 202  # of the own ones in it
    assert (await live.send("POST", "/tasks/cancel", {"tasks": ["1.0"]}, by="vic")).status_code == 403
    assert (await live.send("POST", "/submissions", {"task": {"command": ["a"]}}, by="vic")).status_code == 403
    assert (await live.send("POST", "/tasks/cancel", {"tasks": ["1.0"]}, by="nobody")).status_code == 401
    await live.ok("POST", "/tasks/cancel", {"tasks": ["1.0"]}, by="root")


async def test_any_event_of_a_user_may_be_appended_by_those_who_speak_in_events(live: Live) -> None:
    event = e.TasksSubmitted(key="k", batch="b", body=m.Array(spec=m.TaskSpec(command=("true",)), size=2))
    sent = await live.ok("POST", "/wishes", msgspec.json.encode(event), key="e1")
    assert live.event(sent["seq"]) == event
    assert await live.ok("POST", "/wishes", msgspec.json.encode(event), key="e1") == sent
    large = msgspec.structs.replace(event, key="l", body=m.Specs(specs=(m.TaskSpec(command=("x" * 50_000,)),)))
    body, headers = codec.encode(large)
    assert headers
    sent = await live.ok("POST", "/wishes", body, headers=headers)
    assert live.event(sent["seq"]) == large
    assert (
        await live.send("POST", "/wishes", {"type": "user-added", "user": "eve", "role": "admin"})
    ).status_code == 400
    assert (await live.send("POST", "/wishes", {"type": "policy-requested", "policy": {}})).status_code == 403
    bomb = zlib.compress(b" " * (300 << 20), 9)
    assert (await live.send("POST", "/wishes", bomb, headers={"Content-Encoding": "deflate"})).status_code == 400


async def test_questions_are_asked_in_the_name_of_who_asks(live: Live) -> None:
    asked = await live.asked_of(
        lambda q: {"id": q["id"], "state": "queued", "reasons": [{"text": "busy"}], "batches": []}
    )
    assert (await live.ok("GET", "/tasks/1.0/explain"))["reasons"] == [{"text": "busy"}]
    assert (await live.ok("GET", "/explain", query={"id": "w1", "kind": "worker"}))["state"] == "queued"
    assert (await live.ok("GET", "/demand")) == {"batches": []}
    assert (await live.ok("POST", "/ask", {"id": "1", "kind": "submission"}, by="vic"))["id"] == "1"
    assert [(q["id"], q["kind"], q["user"]) for q in asked] == [
        ("1.0", "task", "ann"), ("w1", "worker", "ann"), ("", "demand", "ann"), ("1", "submission", ""),
    ]  # fmt: skip
    live.dispatch.hints.stop()
    assert (await live.send("GET", "/tasks/1.0/explain")).status_code == 503


# --- the wire ---------------------------------------------------------------------------------------------------------


async def test_a_reader_gets_the_fields_it_wants_and_nothing_it_has(live: Live) -> None:
    await submitted(live, 100)
    page = await live.send("GET", "/tasks", query={"fields": "id,state", "limit": 2})
    assert page.json()["items"] == [{"id": "1.0", "state": "queued"}, {"id": "1.1", "state": "queued"}]
    again = await live.send(
        "GET", "/tasks", query={"fields": "id,state", "limit": 2}, headers={"If-None-Match": page.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert (await live.ok("GET", "/tasks/1.5", query={"fields": "label"})) == {"label": 5}
    assert (await live.send("GET", "/tasks/1.5", query={"fields": "nonsense"})).status_code == 400
    large = await live.send("GET", "/tasks", query={"limit": 100}, headers={"Accept-Encoding": "gzip"})
    assert large.headers["content-encoding"] == "gzip"
    assert len(large.json()["items"]) == 100
    assert int(large.headers["content-length"]) < len(large.content) / 5


async def test_one_credential_cannot_ask_without_end(live: Live) -> None:
    for _ in range(2_000):
        live.house.limits.take("ann")
    answer = await live.send("GET", "/tasks")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert (await live.send("GET", "/tasks", by="bob")).status_code == 200
    live.clock.at += 1
    assert (await live.send("GET", "/tasks")).status_code == 200


async def test_bodies_are_limited_by_route(live: Live) -> None:
    assert (await live.send("POST", "/tasks/cancel", b" " * (2 << 20))).status_code == 413
    assert (await live.send("POST", "/submissions", b" " * (2 << 20))).status_code == 400
