"""Submissions become events: once, all or nothing, and on this disk while the log is away."""

import asyncio
import json
import zlib

import msgspec
import pytest

from longshore.bookmark import Bookmark
from longshore.cli.demand import row
from longshore.client import AsyncClient
from longshore.spool import Spool
from longshore.sync import Client
from longshore.writer import Writer
from longshore_common import events as e
from longshore_common import model as m
from longshore_common.adapters.memory_log import Hub
from longshore_common.codec import MAX_MESSAGE
from longshore_common.errors import BadInput, NotFound, Refused, Unreachable
from longshore_common.ids import TaskRange
from longshore_common.parts import PART, parts


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
async def client(tmp_path, profile, hub):
    async with AsyncClient(tmp_path, environ={}, profile=profile, transport=hub.connect("user", "ada")) as opened:
        yield opened


def events(hub):
    return [record.event for record in hub.records]


def wish(key="k", **more):
    return e.TasksSubmitted(key=key, batch="b", body=m.Array(spec=m.TaskSpec(command=("true",)), size=1), **more)


async def test_the_receipt_is_the_place_in_the_log(client, hub):
    receipt = await client.submit_array(["sleep", "60"], "0-999_999:1%20", batch="b", memory="4G", priority=3)
    assert (receipt.id, receipt.size, str(receipt)) == (1, 1_000_000, "1.0-999999")
    (event,) = events(hub)
    assert event.body == m.Array(spec=m.TaskSpec(command=("sleep", "60"), memory=4 << 30), size=1_000_000)
    assert (event.batch, event.priority, event.max_running) == ("b", 3, 20)
    assert hub.records[0].author == ("user", "ada")


async def test_a_key_submits_once(client, hub):
    first = await client.submit(["true"], key="mine")
    again = await client.submit(["true"], key="mine")
    assert (first.id, again.id, len(hub.records)) == (1, 1, 1)


async def test_last_means_the_submission_before_also_in_another_process(client, hub, tmp_path, profile):
    await client.submit_array(["true"], 5)
    async with AsyncClient(tmp_path, environ={}, profile=profile, transport=hub.connect("user", "ada")) as other:
        await other.submit(["true"], requires="last")
        await other.cancel("last")
    assert events(hub)[1].requires == (TaskRange(1, 0, 4),)
    assert events(hub)[2].tasks == (TaskRange(2, 0, 0),)


async def test_without_a_submission_there_is_no_last(client):
    with pytest.raises(NotFound, match="last"):
        await client.cancel("last")


async def test_entries_become_an_array(client, hub):
    await client.submit_array(["wc"], ["a", "b c"], inputs=["{entry}"])
    assert events(hub)[0].body.entries == ("a", "b c")


async def test_wishes_name_ranges_receipts_and_batches(client, hub):
    receipt = await client.submit_array(["true"], 3)
    await client.retry([receipt, "9.0-4", TaskRange(8, 1, 2)])
    await client.cancel(batch="b")
    await client.signal("9.1", "SIGUSR1")
    await client.pause_batch("b", freeze=True)
    await client.resize_workers("w1", concurrency=4)
    assert events(hub)[1:] == [
        e.RetryRequested(tasks=(TaskRange(1, 0, 2), TaskRange(9, 0, 4), TaskRange(8, 1, 2))),
        e.CancelRequested(batch="b"),
        e.SignalRequested(tasks=(TaskRange(9, 1, 1),), signal="SIGUSR1"),
        e.BatchPauseRequested(batch="b", freeze=True),
        e.WorkerResizeRequested(workers=("w1",), concurrency=4),
    ]


async def test_wishes_about_hosts_and_times_say_what_was_asked(client, hub):
    await client.keep_batch("b", outputs="30d", logs=60)
    await client.pause_workers("w1", drain=True)
    await client.care_for_workers("clean")
    await client.signal("1204.0", "checkpoint")
    kept, drained, cared, signalled = events(hub)
    assert kept == e.BatchRetentionRequested(batch="b", retention=m.Retention(outputs=30 * 86_400, logs=60))
    assert drained == e.WorkerPauseRequested(workers=("w1",), drain=True)
    assert cared == e.WorkerCareRequested(care="clean")
    assert signalled.signal == "checkpoint"


async def test_a_wish_for_nothing_or_for_both_is_refused(client):
    for arguments in ({}, {"tasks": "1.1", "batch": "b"}):
        with pytest.raises(BadInput, match="one of the two"):
            await client.cancel(**arguments)


async def test_many_different_tasks_are_parts_closed_by_one_event(client, hub):
    taken = 0

    def tasks():
        nonlocal taken
        for taken in range(2500):
            assert taken - 1000 * len(hub.records) <= 6 * PART, "more is held than is on its way"
            yield {"command": ["echo", str(taken)]}

    receipt = await client.submit_many(tasks(), batch="b", cpus=2)
    *sent, close = events(hub)
    assert [type(one) for one in sent] == [e.SubmissionPartSent] * 3
    assert sorted(one.part for one in sent) == [0, 1, 2]
    assert close.body == m.Parts(parts=3, size=2500)
    assert (receipt.id, receipt.size) == (4, 2500)
    specs = [spec for one in sorted(sent, key=lambda one: one.part) for spec in one.specs]
    assert [spec.command[1] for spec in specs] == [str(k) for k in range(2500)]
    assert {spec.cpus for spec in specs} == {2}
    assert {one.key for one in sent} == {close.key}


async def test_few_different_tasks_are_one_event_and_none_are_refused(client, hub):
    await client.submit_many([{"command": ["a"]}, m.TaskSpec(command=("b",))])
    assert [spec.command for spec in events(hub)[0].body.specs] == [("a",), ("b",)]
    with pytest.raises(BadInput, match="no tasks"):
        await client.submit_many([])
    assert len(hub.records) == 1


async def test_a_wrong_task_among_many_submits_nothing(client, hub):
    with pytest.raises(BadInput):
        await client.submit_many([{"command": ["a"]}] * 1500 + [{"command": []}])
    assert not any(isinstance(event, e.TasksSubmitted) for event in events(hub))


def test_a_part_fits_a_message_even_if_it_does_not_compress():
    made = [m.TaskSpec(command=("x" * 100_000, str(k))) for k in range(100)]
    runs = [part.specs for part in parts(made)]
    assert [spec for run in runs for spec in run] == made
    assert all(len(msgspec.json.encode(run)) < MAX_MESSAGE for run in runs)


async def test_while_the_log_is_away_a_spooled_submission_waits_and_goes_once(tmp_path, profile, hub):
    away = hub.connect("user", "ada")
    await away.close()
    writer = Writer(profile, Bookmark(tmp_path / "own"), transport=away)
    receipt = await writer.submit(wish("k1"), spool=True)
    assert receipt.spooled
    assert len(writer.spool) == 1
    with pytest.raises(Unreachable):
        await writer.submit(wish("k2"))
    back = Writer(profile, Bookmark(tmp_path / "own"), transport=hub.connect("user", "ada"))
    later = await back.submit(wish("k3"), spool=True)
    assert [event.key for event in events(hub)] == ["k1", "k3"]
    assert (later.id, len(back.spool), await back.flush()) == (2, 0, {})


async def test_a_crash_between_acknowledgement_and_forgetting_sends_the_same_submission(tmp_path, profile, hub):
    writer = Writer(profile, Bookmark(tmp_path / "own"), transport=hub.connect("user", "ada"))
    await writer.submit(wish("k1"))
    spool = Spool(tmp_path / "own" / "spool")
    spool.put(writer._entry(wish("k1"), "k1"))
    assert await writer.flush() == {"k1": 1}
    assert len(hub.records) == 1


async def test_a_damaged_spool_file_is_named_and_kept(tmp_path, profile, hub):
    writer = Writer(profile, Bookmark(tmp_path / "own"), transport=hub.connect("user", "ada"))
    file = writer.spool.put(writer._entry(wish("k1"), "k1"))
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(Refused, match=file.name):
        await writer.flush()
    assert file.exists()


def test_large_submissions_are_spooled_compressed_and_read_back(tmp_path, profile):
    spool = Spool(tmp_path)
    many = e.TasksSubmitted(
        key="k", batch="b", body=m.Array(spec=m.TaskSpec(command=("x",)), size=50_000, entries=("same",) * 50_000)
    )
    file = spool.put(Writer(profile, Bookmark(tmp_path))._entry(many, "k"))
    assert zlib.decompress(file.read_bytes().partition(b"\n")[2])
    assert next(spool.entries()).entry.event == many


def test_the_synchronous_client_works_inside_a_running_loop(tmp_path, profile, hub):
    async def notebook():
        with Client(tmp_path, environ={}, profile=profile, transport=hub.connect("user", "ada")) as client:
            return client.submit(["true"]), client.submit_array(["true"], 3), client.cancel("last.1")

    first, second, seq = asyncio.run(notebook())
    assert (first.id, str(second), seq) == (1, "2.0-2", 3)


async def test_explain_asks_a_dispatcher(client, hub):
    async def answer(question):
        assert json.loads(question) == {"id": "1.0", "kind": "task", "user": "ada"}
        return b'{"id":"1.0","state":"queued","reasons":[{"text":"0 of 2 workers fit","fix":"add one","count":2}]}'

    with pytest.raises(Unreachable, match=r"no dispatcher answers, .*longshore up"):
        await client.explain("1.0")
    dispatcher = hub.connect("dispatch")
    await dispatcher.hints.answer("ask.dispatch.explain", answer, shared=True)
    found = await client.explain("1.0")
    assert (found.state, found.reasons[0].fix) == ("queued", "add one")


async def test_demand_is_asked_of_a_dispatcher_and_told_in_words(client, hub):
    async def answer(question):
        assert json.loads(question) == {"id": "b", "kind": "demand", "user": "ada"}
        shape = {
            "cpus": 8,
            "memory": 32 << 30,
            "container": True,
            "custom": [["license", 2]],
            "alternatives": [{"gpus": 1}],
        }
        waiting = {"shape": shape, "tasks": 340, "since": 7.0, "seconds": 11560, "slots": 16}
        return json.dumps({"batches": [{"batch": "b", "waiting": [waiting], "capped": 3}]}).encode()

    await hub.connect("dispatch").hints.answer("ask.dispatch.explain", answer, shared=True)
    (found,) = await client.writer.demand("b")
    assert (found.tasks, found.capped) == (340, 3)
    told = row(found, found.waiting[0], 607.0)
    assert told == ("b", 340, 0, 0, "8 cpus 32G memory 2 license container, or 1 gpu", "10 min", "3.2 h", 16, False)
