"""What attempts and hosts say while they work, as a reader of the api sees it: progress, care, hindrance, what is kept."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import Output, Retention, TaskSpec, Usage

from .test_http import Api, Reader


@pytest.fixture
async def api(database: str, book: Any, project: Any) -> AsyncIterator[Api]:
    reader = await Reader.open(database)
    made = Api(database, book, project, reader)
    yield made
    await made.client.aclose()
    await reader.close()


def moved(api: Api, attempt: str, state: str, at: float, **more: Any) -> None:
    move = e.Move(attempt, state, at, **more)  # type: ignore[arg-type]
    api.book.write(e.AttemptsReported(life=1, n=1, moved=(move,)), "w1")


async def shown_progress(api: Api) -> Any:
    await api.shown()
    task = await api.json("tasks/2.0")
    (attempt,) = (await api.json("tasks/2.0/attempts"))["items"]
    (listed,) = (await api.json("tasks"))["items"]
    assert task["progress"] == attempt["progress"] == listed["progress"]
    return task["progress"]


async def test_a_transfer_shows_how_far_it_is_how_fast_and_how_long_it_takes_still(api: Api) -> None:
    api.book.join()
    api.book.assign(api.book.submit(), 0)
    moved(api, "2.0.1", "staging", 1000.0)
    assert await shown_progress(api) is None
    moved(api, "2.0.1", "staging", 1002.0, done=100, total=1100)
    first = await shown_progress(api)
    assert first == {
        "phase": "staging", "done": 100, "total": 1100, "at": "1970-01-01T00:16:42.000+00:00", "rate": None, "eta": None,
    }  # fmt: skip
    moved(api, "2.0.1", "staging", 1004.0, done=300, total=1100)
    second = await shown_progress(api)
    assert (second["done"], second["rate"], second["eta"]) == (300, 100.0, 8.0)
    texts = [line["text"] for line in (await api.json("tasks/2.0/history"))["items"]]
    assert texts[-1] == "attempt 1 staging, 300 bytes of 1.1 kB"


async def test_progress_is_of_the_phase_that_goes_on_and_of_the_attempt_that_goes_on(api: Api) -> None:
    api.book.join()
    sub = api.book.submit()
    api.book.assign(sub, 0)
    moved(api, "2.0.1", "staging", 1002.0, done=100, total=1100)
    moved(api, "2.0.1", "running", 1003.0)
    assert await shown_progress(api) is None
    moved(api, "2.0.1", "delivering", 1004.0, done=5)
    assert (await shown_progress(api))["total"] == 0
    api.book.end(sub, 0, outcome="failed", exit_code=None, cause="stage-out")
    await api.shown()
    assert (await api.json("tasks/2.0"))["progress"] is None
    api.book.requeue(sub, 0, cause="stage-out")
    api.book.assign(sub, 0, n=2)
    moved(api, "2.0.2", "delivering", 1009.0)
    await api.shown()
    assert (await api.json("tasks/2.0"))["progress"] is None


async def test_a_rate_without_time_is_none_and_more_than_all_has_no_end(api: Api) -> None:
    api.book.join()
    api.book.assign(api.book.submit(), 0)
    for done in (10, 20):
        moved(api, "2.0.1", "staging", 1002.0, done=done, total=15)
    progress = await shown_progress(api)
    assert (progress["rate"], progress["eta"]) == (None, None)


async def test_progress_goes_on_after_a_restart_of_the_projector(api: Api) -> None:
    api.book.join()
    api.book.assign(api.book.submit(), 0)
    for at in (1, 2, 3):
        moved(api, "2.0.1", "staging", 1000.0 + at, done=at, total=5)
        await api.shown()
    assert (await api.json("tasks/2.0"))["progress"]["rate"] == 1.0


async def test_an_attempt_tells_its_image_its_checkpoint_and_whether_its_directory_is_kept(api: Api) -> None:
    sub = api.book.submit(2)
    api.book.assign(sub, 0, 1)
    api.book.end(
        sub, 0, outcome="failed", exit_code=1, image="sha256:ab", checkpoint=True, kept=True, stdout=Output(3, "abc")
    )
    api.book.end(sub, 1)
    await api.shown()
    (kept,) = (await api.json("tasks/1.0/attempts"))["items"]
    assert (kept["image"], kept["checkpoint"], kept["kept"], kept["stdout"]["size"]) == ("sha256:ab", True, True, 3)
    (plain,) = (await api.json("tasks/1.1/attempts"))["items"]
    assert (plain["image"], plain["checkpoint"], plain["kept"]) == (None, False, False)
    assert (await api.get("tasks/1.0/output")).content == b"abc"
    texts = [line["text"] for line in (await api.json("tasks/1.0/history"))["items"]]
    assert texts[-1].endswith("image sha256:ab, its checkpoint is saved, its work directory is kept")


async def test_a_report_of_the_release_before_is_still_read(api: Api, database: str) -> None:
    sub = api.book.submit()
    api.book.assign(sub, 0)
    api.book.end(sub, 0, usage=Usage(peak_memory=7))
    await api.shown()
    connection = await asyncpg.connect(database)
    assert json.loads(await connection.fetchval("SELECT report FROM task"))[1:] == [None, None], "nothing more per task"
    await connection.close()
    assert (await api.json("tasks/1.0"))["peak_memory"] == 7


async def state(api: Api, name: str = "w1") -> tuple[str, str | None]:
    await api.shown()
    worker = await api.json(f"workers/{name}")
    return worker["state"], worker["reason"]


async def test_a_worker_in_quarantine_says_why_and_until_when(api: Api) -> None:
    api.book.join()
    api.book.write(e.WorkerQuarantined(reason="5 different tasks failed fast there", until=2000.5, pause=300), "w1")
    assert await state(api) == ("quarantined", "5 different tasks failed fast there")
    assert (await api.json("workers/w1"))["quarantined_until"] == "1970-01-01T00:33:20.500+00:00"
    api.book.join()  # a new life proves nothing
    assert (await state(api))[0] == "quarantined"
    api.book.write(e.WorkerTrusted(reason="a probe went well"), "w1")
    assert await state(api) == ("up", None)
    assert (await api.json("workers/w1"))["quarantined_until"] is None
    api.book.write(e.WorkerQuarantined(reason="again", until=2000.5), "w1")
    api.book.write(e.WorkerResumed(), "w1")
    assert await state(api) == ("up", None)
    api.book.write(e.WorkerCareOrdered(care="doctor"), "w1")
    api.book.write(e.WorkerCared(life=1, care="doctor", text="1 of 15 checks is broken"), "w1")
    await api.shown()
    assert [c["care"] for c in (await api.json("workers/w1"))["cares"]] == ["doctor"]


async def test_a_worker_says_why_it_takes_no_work(api: Api) -> None:
    api.book.join()
    assert await state(api) == ("up", None)
    api.book.write(e.WorkerHindered(life=1, reason="its disk is full"), "w1")
    assert await state(api) == ("hindered", "its disk is full")
    api.book.write(e.WorkerEvicted(life=1, at=2000.5, reason="Preempt"), "w1")
    assert await state(api) == ("evicted", "Preempt")
    assert (await api.json("workers/w1"))["evicted_at"] == "1970-01-01T00:33:20.500+00:00"
    api.book.write(e.ResourcesHeld(life=1, held=("a",)), "w1")
    api.book.join()  # the notice was withdrawn
    assert await state(api) == ("up", None)
    assert (await api.json("workers/w1"))["held"] == 0
    sub = api.book.submit()
    api.book.assign(sub, 0)
    api.book.write(e.WorkerPaused(drain=True, reason="upgrade"), "w1")
    assert await state(api) == ("draining", "upgrade")
    api.book.end(sub, 0)
    assert await state(api) == ("drained", "upgrade")
    api.book.write(e.WorkerResumed(), "w1")
    assert await state(api) == ("up", None)


async def test_what_an_earlier_life_says_late_changes_nothing(api: Api) -> None:
    api.book.join(life=2)
    api.book.write(e.WorkerHindered(life=1, reason="old"), "w1")
    api.book.write(e.ResourcesHeld(life=1, held=("a",)), "w1")
    api.book.write(e.WorkerHindered(life=1, reason="who?"), "w9")
    assert await state(api) == ("up", None)
    assert (await api.json("workers/w1"))["held"] == 0


async def test_the_life_of_a_host_is_told_line_by_line(api: Api) -> None:
    api.book.join()
    api.book.write(e.WorkerCareRequested(care="clean"), "ann")
    api.book.write(e.WorkerCareOrdered(care="clean", request=2), "w1")
    api.book.write(e.WorkerCared(life=1, care="clean", request=2, text="3 directories", freed=2_500_000), "w1")
    api.book.write(e.RemotesShared(boxes=(e.Box("w1", "c2VhbGVk"),)), "ann")
    api.book.write(e.RemotesGiven(box="c2VhbGVk", request=5), "w1")
    api.book.write(e.ResourcesHeld(life=1, held=("a", "b")), "w1")
    api.book.write(e.WorkerHindered(life=1, reason="no space"), "w1")
    api.book.write(e.WorkerHindered(life=1), "w1")
    api.book.write(e.WorkerEvicted(life=1, at=1e300), "w1")
    api.book.write(e.SweepDone(life=1, order=9, removed=2, left=(("s3://x", "403"),)), "w1")
    await api.shown()
    lines = [line["text"] for line in (await api.json("workers/w1/history"))["items"]]
    assert lines[1:] == [
        "asked to remove kept work directories",
        "told to remove kept work directories, as ann asked at 2",
        "did remove kept work directories, 2.5 MB freed (3 directories), as ann asked at 2",
        "storage configuration shared with 1 worker",
        "given a storage configuration, sealed for it, as ann asked at 5",
        "keeps 2 resources",
        "takes no more work: no space",
        "takes work again",
        "will be taken away at 1e+300",
        "removed 2 things for event 9; 1 thing could not be removed: 403",
    ]
    worker = await api.json("workers/w1")
    assert worker["held"] == 2
    assert worker["remotes_at"]
    assert "c2VhbGVk" not in json.dumps(worker)


async def test_what_came_of_care_is_read_by_its_wish_and_by_the_worker(api: Api) -> None:
    for name in ("w1", "w2"):
        api.book.join(name)
    wish = api.book.write(e.WorkerCareRequested(care="clean"), "ann")
    api.book.write(e.WorkerCareOrdered(care="clean", request=wish, more=True), "w1")
    api.book.write(e.WorkerCared(life=1, care="clean", request=wish, text="a\0b", freed=5), "w1")
    await api.shown()
    assert (await api.json(f"requests/{wish}"))["answer"] == "none", "w2 was not told yet"
    api.book.write(e.WorkerCareOrdered(care="clean", request=wish), "w2")
    await api.shown()
    answer = await api.json(f"requests/{wish}")
    assert (answer["answer"], answer["workers"]) == ("done", ["w1", "w2"])
    assert [(c["worker"], c["freed"]) for c in answer["cares"]] == [("w1", 5)]
    assert len((await api.json(f"requests/{wish}", cared=True, wait=0.05))["cares"]) == 1, "w2 said nothing yet"
    waiting = asyncio.create_task(api.json(f"requests/{wish}", cared=True, wait=10))
    api.book.write(e.WorkerCared(life=1, care="clean", request=wish), "w2")
    await api.shown()
    assert {c["worker"] for c in (await asyncio.wait_for(waiting, 5))["cares"]} == {"w1", "w2"}
    (care,) = (await api.json("workers/w1"))["cares"]
    assert (care["care"], care["text"], care["freed"], care["request"]) == ("clean", "a\ufffdb", 5, wish)
    for k in range(7):
        api.book.write(e.WorkerCared(life=1, care="restart", request=k), "w1")
    await api.shown()
    assert [c["request"] for c in (await api.json("workers/w1"))["cares"]] == [2, 3, 4, 5, 6]


async def test_a_batch_tells_how_long_its_things_are_kept(api: Api) -> None:
    api.book.submit()
    api.book.write(e.BatchRetentionRequested(batch="b", retention=Retention(outputs=86_400)), "ann")
    await api.shown()
    assert (await api.json("batches/b"))["retention"] is None
    api.book.write(e.BatchRetentionSet(batch="b", retention=Retention(outputs=86_400), request=2), "")
    await api.shown()
    assert (await api.json("batches/b"))["retention"] == {"outputs": 86400.0, "logs": 0.0, "failed": 0.0, "inputs": 0.0}
    lines = [line["text"] for line in (await api.json("batches/b/history"))["items"]]
    assert lines[1:] == [
        "asked to keep outputs 1 days, logs for ever, failed for ever, inputs for ever",
        "keeps outputs 1 days, logs for ever, failed for ever, inputs for ever, as ann asked at 2",
    ]


async def test_a_sweep_is_history_of_the_tasks_it_names_and_of_no_others(api: Api) -> None:
    sub = api.book.submit(3)
    spec = TaskSpec(command=("true",), output="s3://o/")
    starts = (e.Start(0, 1), e.Start(2, 1))
    order = e.Order(submission=SubmissionId(sub), spec=spec, batch="b", user="ann", starts=starts)
    api.book.write(e.SweepOrdered(what="outputs", orders=(order, e.Order(
        submission=SubmissionId(99), spec=spec, batch="b", user="ann", starts=()))), "w1")  # fmt: skip
    await api.shown()
    said = [[line["text"] for line in (await api.json(f"tasks/1.{k}/history"))["items"]][1:] for k in range(3)]
    assert said == [
        ["its outputs are past their time, to be removed"],
        [],
        ["its outputs are past their time, to be removed"],
    ]


async def test_more_memory_after_an_oom_stands_in_the_history(api: Api) -> None:
    sub = api.book.submit()
    api.book.assign(sub, 0)
    api.book.end(sub, 0, outcome="failed", exit_code=137, cause="oom")
    again = e.Requeue(SubmissionId(sub), 0, 1, 0, "oom", "it ran out of 2 GB", 3_000_000_000)
    api.book.write(e.TasksRequeued(tasks=(again,)), "")
    order = e.Order(
        submission=SubmissionId(sub), spec=TaskSpec(command=("true",)), batch="b", user="ann",
        starts=(e.Start(0, 2, 0, "", 3_000_000_000),),
    )  # fmt: skip
    api.book.write(e.AttemptsAssigned(orders=(order,)), "w1")
    api.book.write(e.SignalRequested(tasks=(TaskRange(sub, 0, 0),), signal="checkpoint"), "ann")
    api.book.write(e.AttemptsSignalled(attempts=("1.0.2",), wanted="checkpoint", request=6), "w1")
    await api.shown()
    texts = [line["text"] for line in (await api.json("tasks/1.0/history"))["items"]]
    assert texts[-4:] == [
        "queued again after attempt 1 (oom, it ran out of 2 GB), with 3 GB of memory from here on",
        "attempt 2 assigned to w1, with 3 GB of memory",
        "asked to send it checkpoint",
        "attempt 2 told to stop with a checkpoint, as ann asked at 6",
    ]
