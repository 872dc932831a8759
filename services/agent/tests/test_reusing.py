"""Results used again, with a real agent, spawner and storage; the test is the dispatcher."""

import asyncio
import contextlib
import json
import os
import urllib.request

import pytest
from msgspec import structs

from longshore_agent.adapters.staging import StorageStager
from longshore_agent.core import reuse
from longshore_agent.core.attempt import Published
from longshore_agent.service import reusing
from longshore_common import events as e
from longshore_common.model import Mount, Step, TaskSpec
from longshore_common.testing.waiting import until
from longshore_data.storage import Storage

from .storage import Server

COUNT = "wc -w < $INPUT/a.txt > $OUTPUT/n; date +%s%N >> $OUTPUT/n"


class Desk:
    """The dispatcher of one yard: gives leave to publish, and answers questions from what it has learnt or `known`."""

    def __init__(self, yard):
        self.yard, self.known, self.asked, self.silent = yard, {}, [], False
        self.granted = set()
        self.task = asyncio.ensure_future(self.run())

    async def run(self):
        answered = 0
        while True:
            for report in self.yard.events(e.AttemptsReported)[answered:]:
                answered += 1
                for one in report.delivered:
                    if one.attempt not in self.granted:
                        self.granted.add(one.attempt)
                        await self.yard.signal("publish", one.attempt)
                for one in report.identified:
                    self.asked.append(one)
                    if not self.silent:
                        told = self.known.get(one.digest, ("", ""))
                        await self.yard.tell(e.AttemptsReused(attempts=(e.Reuse(one.attempt, *told),)))
                for one in report.ended:
                    if one.digest:
                        self.known[one.digest] = (one.attempt, one.output)
            await asyncio.sleep(0.01)


@pytest.fixture
async def desk(yard):
    one = Desk(yard)
    yield one
    one.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await one.task


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("hello new world\n")
    return file


async def ran(yard, source, out, command=COUNT, **fields):
    """The end of one attempt of this with the cache, and what stands in its output."""
    out.mkdir(exist_ok=True)
    (name,) = await yard.assign(
        "sh", "-c", command, inputs=(f"file://{source}",), output=f"file://{out}", use_cache=True, **fields
    )
    end = await yard.ended(name)
    assert end.outcome == "succeeded", end
    return end, (out / "n").read_text()


async def test_the_same_again_is_copied_and_not_run(yard, desk, source, tmp_path):
    await yard.start_agent()
    first, made = await ran(yard, source, tmp_path / "o1")
    again, copied = await ran(yard, source, tmp_path / "o2")
    assert copied == made
    assert (again.reused, again.digest, again.files) == (first.attempt, first.digest, 1)
    assert again.usage.started_at is None
    manifest = json.loads((tmp_path / "o2" / ".longshore" / f"{again.attempt.rpartition('.')[0]}.json").read_text())
    assert manifest["attempt"] == again.attempt
    assert "running" not in yard.moves(again.attempt)
    assert not list((tmp_path / "o2" / ".longshore").glob("*.1")), "a private prefix was left"


async def test_a_copy_can_be_used_again_itself(yard, desk, source, tmp_path):
    await yard.start_agent()
    _, made = await ran(yard, source, tmp_path / "o1")
    second, _ = await ran(yard, source, tmp_path / "o2")
    third, copied = await ran(yard, source, tmp_path / "o3")
    assert (third.reused, copied) == (second.attempt, made)


@pytest.mark.parametrize(
    "change",
    [{"command": COUNT + " "}, {"env": {"A": "1"}}, {"shell": False, "uid": os.getuid()}],
    ids=["command", "environment", "user"],
)
async def test_anything_else_runs(yard, desk, source, tmp_path, change):
    await yard.start_agent()
    await ran(yard, source, tmp_path / "o1")
    again, _ = await ran(yard, source, tmp_path / "o2", **change)
    assert again.reused == ""


async def test_another_content_of_the_input_runs(yard, desk, source, tmp_path):
    await yard.start_agent()
    await ran(yard, source, tmp_path / "o1")
    source.write_text("hello old world again\n")
    again, made = await ran(yard, source, tmp_path / "o2")
    assert again.reused == ""
    assert made.split()[0] == "4"


@pytest.mark.parametrize("harm", ["changed", "removed", "manifest"])
async def test_outputs_that_are_not_as_they_were_are_not_used(yard, desk, source, tmp_path, harm):
    await yard.start_agent()
    first, _ = await ran(yard, source, tmp_path / "o1")
    file = tmp_path / "o1" / "n"
    match harm:
        case "changed":
            file.write_bytes(bytes(reversed(file.read_bytes())))
        case "removed":
            file.unlink()
        case "manifest":
            (tmp_path / "o1" / ".longshore" / f"{first.attempt.rpartition('.')[0]}.json").unlink()
    again, _ = await ran(yard, source, tmp_path / "o2")
    assert again.reused == ""


async def test_without_an_answer_it_runs(yard, desk, source, tmp_path, monkeypatch):
    monkeypatch.setattr(reusing, "PATIENCE", 0.2)
    desk.silent = True
    await yard.start_agent()
    end, _ = await ran(yard, source, tmp_path / "o1")
    assert (end.reused, len(desk.asked)) == ("", 1)
    assert end.digest, "what it computed is told all the same"


async def test_an_input_that_changes_while_it_is_fetched_names_nothing(yard, desk, source, tmp_path, monkeypatch):
    agent = await yard.start_agent()
    stage_in = agent.transfers.stager.stage_in

    async def changing(*words):
        result = await stage_in(*words)
        source.write_text("something else\n")
        return result

    monkeypatch.setattr(agent.transfers.stager, "stage_in", changing)
    end, _ = await ran(yard, source, tmp_path / "o1")
    assert (end.outcome, end.digest) == ("succeeded", "")


async def test_an_agent_killed_while_it_copies_goes_on_in_its_next_life(yard, desk, source, tmp_path, monkeypatch):
    agent = await yard.start_agent()
    first, made = await ran(yard, source, tmp_path / "o1")
    begun = asyncio.Event()

    async def stuck(*_):
        begun.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(agent.transfers.stager, "reuse", stuck)
    (tmp_path / "o2").mkdir()
    (name,) = await yard.assign(
        "sh", "-c", COUNT, inputs=(f"file://{source}",), output=f"file://{tmp_path}/o2", use_cache=True
    )
    await asyncio.wait_for(begun.wait(), 10)
    await yard.kill_agent(agent)
    await yard.start_agent()
    end = await yard.ended(name)
    assert (end.reused, (tmp_path / "o2" / "n").read_text()) == (first.attempt, made)


async def test_an_attempt_cancelled_while_it_asks_ends(yard, desk, source, tmp_path):
    desk.silent = True
    await yard.start_agent()
    (tmp_path / "o1").mkdir()
    (name,) = await yard.assign(
        "sh", "-c", COUNT, inputs=(f"file://{source}",), output=f"file://{tmp_path}/o1", use_cache=True
    )
    await until(lambda: desk.asked)
    await yard.signal("stop", name)
    assert (await yard.ended(name)).outcome == "cancelled"


@pytest.mark.parametrize("kind", ["moto", "rclone"])
async def test_outputs_in_s3_are_copied_inside_it_and_looked_at_first(kind, tmp_path):
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    server = Server(kind, tmp_path / "s3").start()
    if kind == "moto":
        make = urllib.request.Request(f"{server.environ['AWS_ENDPOINT_URL']}/bucket", method="PUT")
        urllib.request.urlopen(make, timeout=10).close()
    stager = StorageStager(Storage(server.environ))
    try:
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "x y").write_bytes(b"result")
        await stager.deliver("7.0.1", "s3://bucket/o1", str(tmp_path / "made"))
        files, _ = await stager.deliver("7.0.1", "s3://bucket/o1", str(tmp_path / "made"))
        await stager.publish("7.0.1", "7.0", "s3://bucket/o1", files)
        earlier = Published("7.0.1", "s3://bucket/o1")
        assert await stager.reusable(earlier, "s3://bucket/o2")
        copied, size = await stager.reuse("8.0.1", earlier, "s3://bucket/o2")
        assert (copied, size) == (files, 6)
        assert await stager.publish("8.0.1", "8.0", "s3://bucket/o2", copied) == 1
        assert not await stager.reusable(Published("7.0.2", "s3://bucket/o1"), "s3://bucket/o2")
        assert not await stager.reusable(earlier, f"file://{tmp_path}/elsewhere")
    finally:
        await stager.close()
        server.stop()


def test_what_should_not_change_a_result_does_not_change_its_name():
    plain = TaskSpec(command=("x",), output="s3://b/o", use_cache=True)
    start = e.Start(0, 1)
    name = reuse.digest(plain, start, "", ())
    limited = TaskSpec(
        command=("x",), output="s3://b/p", use_cache=True, cpus=2, memory=1 << 30, run_timeout=9, name="n"
    )
    assert reuse.digest(limited, e.Start(5, 3), "", ()) == name
    assert reuse.digest(plain, e.Start(0, 1, label=1), "", ()) != name


def test_what_cannot_be_told_has_no_name():
    spec = TaskSpec(command=("x",), container="debian", inputs=("s3://b/i",), use_cache=True)
    assert reuse.digest(spec, e.Start(0, 1), "sha256:1", ("",)) == ""
    assert reuse.digest(spec, e.Start(0, 1), "", ("c",)) == ""
    assert reuse.digest(spec, e.Start(0, 1), "sha256:1", ("c",)) != ""


def test_steps_and_mounts_and_where_they_are_belong_to_what_is_computed():
    start = e.Start(0, 1)
    step = Step(command=("a",), container="i")
    mount = Mount(uri="s3://b/x", path="/x")
    plain = TaskSpec(command=("a",), container="i", output="s3://o/")

    def name(contents=("c",), **fields):
        return reuse.digest(
            structs.replace(plain, **{"steps": (step,), "mounts": (mount,), **fields}), start, "i1 i2", contents
        )

    others = [
        reuse.digest(plain, start, "i1 i2", ()),
        name(contents=("d",)),
        name(steps=(step, step)),
        name(steps=(structs.replace(step, stdin="/x"),)),
        name(mounts=(structs.replace(mount, path="/y"),)),
        name(volumes=("/v",)),
    ]
    assert name(mounts=(structs.replace(mount, uri="s3://copy/x"),)) == name()
    assert len({name(), *others}) == len(others) + 1
