"""What happens around a task's data, as the dispatcher sees it: resources, progress, tries, limits, checkpoints, sweeps."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from longshore_agent.adapters import room
from longshore_agent.core import sizes
from longshore_agent.core.reports import Pending
from longshore_agent.service import holding, progress
from longshore_common import events as e
from longshore_common import subjects
from longshore_common.errors import BadInput
from longshore_common.model import TaskSpec, resource_key
from longshore_common.testing.waiting import until

from .storage import Server


@pytest.fixture(autouse=True)
def _told_soon(monkeypatch):
    monkeypatch.setattr(holding, "EVERY", 0.05)


@pytest.fixture
def s3(tmp_path):
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    server = Server("rclone", tmp_path / "s3").start()
    yield server
    server.stop()


def all_moves(yard, name):
    return [m for r in yard.events(e.AttemptsReported) for m in r.moved if m.attempt == name]


def large(path: Path, size: int) -> str:
    path.write_bytes(os.urandom(size))
    return f"file://{path}"


async def grant(yard, *names):
    """Let these publish as soon as they ask, as the dispatcher does."""

    def asked():
        return {d.attempt for r in yard.events(e.AttemptsReported) for d in r.delivered} >= set(names)

    await until(asked)
    await yard.signal("publish", *names)


async def test_a_resource_is_fetched_once_for_many_attempts_told_and_still_there_in_the_next_life(yard, tmp_path):
    agent = await yard.start_agent(slots=4)
    text = large(tmp_path / "genome", 100_000)
    names = await yard.assign("cmp", f"{tmp_path}/genome", f"{tmp_path}/genome", count=50, resources=(text,))
    ends = [await yard.ended(name) for name in names]
    assert {x.outcome for x in ends} == {"succeeded"}
    assert sum(x.usage.staged_bytes for x in ends) == 100_000
    told = await until(lambda: yard.events(e.ResourcesHeld))
    assert told[-1].held == (resource_key(text),)
    await until(lambda: not agent.transfers.stager.cache._behind)
    await yard.kill_agent(agent)
    await yard.start_agent()
    (again,) = await yard.assign("sh", "-c", f"cmp $RESOURCE/genome {tmp_path}/genome", resources=(text,))
    end = await yard.ended(again)
    assert (end.outcome, end.usage.staged_bytes) == ("succeeded", 0)
    assert len(yard.events(e.ResourcesHeld)) == 2  # the new life told it as well


async def test_resources_of_a_running_attempt_stay_across_lives_and_go_after_its_end(yard, tmp_path):
    agent = await yard.start_agent(settings={"cache_max": "1"})
    text = large(tmp_path / "genome", 1000)
    script = f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done"
    (name,) = await yard.assign("sh", "-c", script, resources=(text,))
    await yard.running(name)
    await until(lambda: not agent.transfers.stager.cache._behind)
    await yard.kill_agent(agent)
    agent = await yard.start_agent()
    cache = agent.transfers.stager.cache
    assert cache.trim() == 0
    assert cache.keys()
    (tmp_path / "go").touch()
    await yard.ended(name)
    await until(lambda: not cache.keys())


async def test_a_long_transfer_tells_its_progress_to_the_log_and_to_who_asks(yard, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.2)
    await yard.start_agent(settings={"bandwidth_down": "16M"})
    text = large(tmp_path / "in", 32 << 20)
    (name,) = await yard.assign("true", inputs=(text,))
    (quick,) = await yard.assign("true", inputs=(large(tmp_path / "small", 10),))
    await until(lambda: [m for m in all_moves(yard, name) if m.done])
    answer = json.loads(await yard.dispatcher.hints.ask(subjects.ask_progress("w1"), b"{}", deadline=5))
    assert answer[name]["phase"] == "staging"
    assert 0 < answer[name]["done"] <= answer[name]["total"] == 32 << 20
    assert answer[name]["eta"] > 0
    end = await yard.ended(name)
    assert end.usage.staged_bytes == 32 << 20
    told = [(m.done, m.total) for m in all_moves(yard, name) if m.state == "staging" and m.done]
    assert told == sorted(told)
    assert told[-1] == (32 << 20, 32 << 20)
    assert not [m for m in all_moves(yard, quick) if m.done]


@pytest.mark.slow
async def test_storage_that_comes_back_soon_costs_a_second_not_the_attempt(yard, tmp_path, s3):
    (tmp_path / "s3/bucket/x").write_text("hello")
    s3.stop()
    await yard.start_agent(environ=s3.environ)
    (name,) = await yard.assign("sh", "-c", "cat $INPUT/x", inputs=("s3://bucket/x",))
    waits = await until(lambda: [m for m in all_moves(yard, name) if m.reason])
    assert waits[0].state == "staging"
    assert "s3://bucket/x" in waits[0].reason
    s3.start()
    end = await yard.ended(name, 40)
    assert (end.outcome, end.stdout.tail) == ("succeeded", "hello")


async def test_a_definite_refusal_is_told_at_once(yard, tmp_path, s3):
    await yard.start_agent(environ=s3.environ)
    (name,) = await yard.assign("true", inputs=("s3://bucket/none",), resources=("s3://bucket/neither",))
    end = await yard.ended(name, 6)
    assert (end.outcome, end.cause) == ("failed", "stage-in")
    assert "cannot help" in end.reason


async def test_waiting_for_the_hosts_turns_does_not_count_against_the_download_limit(yard, tmp_path):
    await yard.start_agent(slots=8, settings={"transfers": 1, "bandwidth_down": "2M"})
    texts = [large(tmp_path / f"f{k}", 2 << 20) for k in range(4)]
    names = [(await yard.assign("true", inputs=(t,), download_timeout=1.5))[0] for t in texts]
    assert [(await yard.ended(n)).outcome for n in names] == ["succeeded"] * 4


async def test_a_fetch_that_itself_takes_too_long_is_given_up(yard, tmp_path):
    await yard.start_agent(settings={"bandwidth_down": "1M"})
    (name,) = await yard.assign("true", inputs=(large(tmp_path / "f", 8 << 20),), download_timeout=0.5)
    end = await yard.ended(name, 5)
    assert (end.cause, "0.5 s" in end.reason) == ("timeout-staging", True)


@pytest.mark.parametrize("field", ["inputs", "resources", "output"])
async def test_a_transfer_is_stopped_within_a_second_and_leaves_nothing(yard, tmp_path, field):
    settings = {"bandwidth_down": "100K", "bandwidth_up": "100K"}
    agent = await yard.start_agent(settings=settings)
    text = large(tmp_path / "f", 8 << 20)
    if field == "output":
        out = tmp_path / "out"
        (name,) = await yard.assign("sh", "-c", f"cp {tmp_path}/f $OUTPUT/", output=f"file://{out}")
        await until(lambda: list(out.rglob(".longshore-part-*")))
    else:
        (name,) = await yard.assign("true", **{field: (text,)})
        await until(lambda: list((tmp_path / "w1").rglob(".longshore-part-*")))
    begun = asyncio.get_running_loop().time()
    await yard.signal("stop", name)
    assert (await yard.ended(name, 3)).outcome == "cancelled"
    await until(lambda: name not in agent.transfers._tasks)
    assert asyncio.get_running_loop().time() - begun < 2
    await until(lambda: not list((tmp_path / "w1").rglob(".longshore-part-*")))
    assert not os.listdir(tmp_path / "w1/cache")


async def test_a_checkpoint_is_saved_when_it_is_stopped_so_and_the_next_attempt_goes_on_from_it(yard, tmp_path):
    await yard.start_agent()
    out = f"file://{tmp_path}/out"
    script = (
        "mkdir -p $TEMP/state; trap 'echo saved >> $TEMP/state/log; exit 0' TERM; "
        "test -e $TEMP/state/log && cp $TEMP/state/log $OUTPUT/ && exit 0; "
        f"touch {tmp_path}/up; while :; do sleep 0.01; done"
    )
    (name,) = await yard.assign("sh", "-c", script, output=out, checkpoint="state")
    await until((tmp_path / "up").exists)
    await yard.signal("checkpoint", name)
    end = await yard.ended(name)
    assert (end.outcome, end.cause, end.checkpoint, end.files) == ("failed", "evicted", True, 0)
    assert not (tmp_path / "out/.longshore" / name).exists()
    task = name.rpartition(".")[0]
    assert (tmp_path / f"out/.longshore/{task}.checkpoint/{name}/log").read_text() == "saved\n"
    await assign_again(yard, name, 2, "sh", "-c", script, output=out, checkpoint="state")
    await grant(yard, f"{task}.2")
    assert (await yard.ended(f"{task}.2")).outcome == "succeeded"
    assert (tmp_path / "out/log").read_text() == "saved\n"
    assert sorted(os.listdir(tmp_path / "out/.longshore")) == [f"{task}.json"]


async def assign_again(yard, name, n, *command, **fields):
    submission, index, _ = name.split(".")
    start = e.Start(int(index), n, 100, "entry")
    order = e.Order(
        submission=int(submission), spec=TaskSpec(command=command, **fields), batch="b", user="u", starts=(start,)
    )
    await yard.tell(e.AttemptsAssigned(orders=(order,)))


async def test_without_a_checkpoint_made_an_evicted_attempt_just_ends(yard, tmp_path):
    await yard.start_agent()
    (name,) = await yard.assign("sleep", "60", output=f"file://{tmp_path}/out", checkpoint="state")
    await yard.running(name)
    await yard.signal("checkpoint", name)
    end = await yard.ended(name)
    assert (end.cause, end.checkpoint) == ("evicted", False)


async def test_a_failed_attempt_says_where_its_output_is_and_a_later_success_clears_it_away(yard, tmp_path):
    await yard.start_agent()
    out = f"file://{tmp_path}/out"
    (name,) = await yard.assign("sh", "-c", "echo x > $OUTPUT/x; exit 4", output=out)
    end = await yard.ended(name)
    assert f"{out}/.longshore/{name}/" in end.reason
    assert (tmp_path / "out/.longshore" / name / "x").exists()
    await assign_again(yard, name, 2, "sh", "-c", "echo y > $OUTPUT/x", output=out)
    second = name[:-1] + "2"
    await grant(yard, second)
    await yard.ended(second)
    assert (tmp_path / "out/x").read_text() == "y\n"
    assert not (tmp_path / "out/.longshore" / name).exists()


async def test_a_manifest_tells_what_the_outputs_were_made_from(yard, tmp_path):
    await yard.start_agent()
    made = large(tmp_path / "in", 10), large(tmp_path / "res", 10)
    fields = {"inputs": made[:1], "resources": made[1:], "use_cache": True, "output": f"file://{tmp_path}/out"}
    (name,) = await yard.assign("sh", "-c", "touch $OUTPUT/x", **fields)
    await until(lambda: any(r.identified for r in yard.events(e.AttemptsReported)))
    await yard.tell(e.AttemptsReused(attempts=(e.Reuse(name),)))
    await grant(yard, name)
    await yard.ended(name)
    task = name.rpartition(".")[0]
    origin = json.loads((tmp_path / f"out/.longshore/{task}.json").read_text())["origin"]
    assert [x["uri"] for x in (*origin["inputs"], *origin["resources"])] == list(made)
    assert all(x["identity"] for x in (*origin["inputs"], *origin["resources"]))
    assert len(origin["command"]) == 64


async def test_the_directory_of_a_failed_attempt_is_kept_with_a_note_until_it_is_cleaned(yard, tmp_path):
    agent = await yard.start_agent()
    text = large(tmp_path / "f", 10)
    fields = {"inputs": (text,), "env": {"TOKEN": "hush"}}
    (name,) = await yard.assign("sh", "-c", "echo why > $TEMP/why; exit 3", **fields)
    end = await yard.ended(name)
    assert end.kept
    kept = tmp_path / "w1/kept" / name
    await until(kept.exists)
    assert (kept / "temp/why").read_text() == "why\n"
    assert (kept / "input/f").exists()
    note = json.loads((kept / "attempt.json").read_text())
    assert (note["exit_code"], note["cause"], note["env"], note["spec"]["inputs"]) == (3, "exit", ["TOKEN"], [text])
    assert "hush" not in (kept / "attempt.json").read_text()
    await yard.kill_agent(agent)
    agent = await yard.start_agent()
    assert kept.exists()
    await yard.tell(e.WorkerCareOrdered(care="clean", request=7))
    done = await until(lambda: yard.events(e.WorkerCared))
    assert done[0].freed > 0
    assert not kept.exists()


async def test_a_failure_that_left_nothing_keeps_nothing(yard, tmp_path):
    await yard.start_agent()
    (name,) = await yard.assign("false")
    assert not (await yard.ended(name)).kept
    assert not (tmp_path / "w1/kept").exists()


async def test_only_the_newest_directories_are_kept(yard, tmp_path):
    await yard.start_agent(slots=1, settings={"keep_failed": 3})
    names = await yard.assign("sh", "-c", "echo x > $TEMP/x; exit 1", count=6)
    for name in names:
        await yard.ended(name)
    await until(lambda: sorted(os.listdir(tmp_path / "w1/kept")) == sorted(names[3:]))


async def test_kept_directories_go_before_resources_when_the_disk_is_nearly_full(yard, tmp_path, monkeypatch):
    agent = await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "echo x > $TEMP/x; exit 1", resources=(large(tmp_path / "f", 10),))
    await yard.ended(name)
    await until((tmp_path / "w1/kept" / name).exists)
    await until(lambda: name in agent.desk.dirs._sizes)
    cache = agent.transfers.stager.cache
    cache._room.floor = 1000
    monkeypatch.setattr(room, "free", lambda _: 999)
    assert cache.trim() == 0
    assert not os.listdir(tmp_path / "w1/kept")
    assert cache.keys()
    monkeypatch.setattr(room, "free", lambda _: 0)
    monkeypatch.setattr(cache._room, "going", 0)
    assert cache.trim() == 10


async def test_forgotten_resources_are_told(yard, tmp_path):
    await yard.start_agent()
    (name,) = await yard.assign("true", resources=(large(tmp_path / "f", 10),))
    await yard.ended(name)
    await until(lambda: yard.events(e.ResourcesHeld))
    await yard.tell(e.WorkerCareOrdered(care="forget-resources", request=8))
    await until(lambda: yard.events(e.WorkerCared))
    await until(lambda: yard.events(e.ResourcesHeld)[-1].held == ())


async def swept(yard, what, name, **fields):
    """The answer to an order to sweep one task whose last attempt is `name`."""
    before = len(yard.events(e.SweepDone))
    submission, index, n = map(int, name.split("."))
    order = e.Order(
        submission=submission, spec=TaskSpec(command=("x",), **fields), batch="b", user="u", starts=(e.Start(index, n),)
    )
    seq = await yard.tell(e.SweepOrdered(what=what, orders=(order,)))
    await until(lambda: len(yard.events(e.SweepDone)) > before)
    answer = yard.events(e.SweepDone)[-1]
    assert answer.order == seq
    return answer


@pytest.mark.parametrize("scheme", ["file", "s3"])
async def test_a_sweep_removes_what_is_the_tasks_and_nothing_else(yard, tmp_path, s3, scheme):
    await yard.start_agent(environ=s3.environ)
    root = tmp_path / "s3/bucket/out"
    out = f"file://{root}" if scheme == "file" else "s3://bucket/out"
    script = "mkdir $OUTPUT/deep; echo $LONGSHORE_ATTEMPT > $OUTPUT/deep/$LONGSHORE_INDEX"
    one, two = await yard.assign("sh", "-c", script, count=2, output=out)
    await grant(yard, one, two)
    for name in (one, two):
        await yard.ended(name)
    (failed,) = await yard.assign("sh", "-c", "echo x > $OUTPUT/x; exit 1", output=out)
    await yard.ended(failed)
    (root / "mine").write_text("the user's")
    assert (await swept(yard, "outputs", one, output=out)).removed == 2
    task, other = one.rpartition(".")[0], two.rpartition(".")[0]
    left = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert left == {"mine", "deep/101", f".longshore/{other}.json", f".longshore/{failed}/x"}
    assert not (root / f".longshore/{task}.json").exists()
    assert (await swept(yard, "outputs", one, output=out)).removed == 0
    assert (await swept(yard, "failed", failed, output=out)).removed == 1
    assert not (root / ".longshore" / failed / "x").exists()


async def test_only_managed_inputs_are_swept(yard, tmp_path):
    await yard.start_agent()
    managed = tmp_path / "store/.longshore/inputs/ab"
    managed.mkdir(parents=True)
    (tmp_path / "own").mkdir()
    texts = large(managed / "one", 3), large(managed / "two", 3), large(tmp_path / "own/x", 3)
    inputs = (texts[0], texts[2], f"file://{tmp_path}/own/")
    assert (await swept(yard, "inputs", "9.0.1", inputs=inputs)).removed == 1
    assert not (managed / "one").exists()
    assert (managed / "two").exists()
    assert (tmp_path / "own/x").exists()
    assert (await swept(yard, "inputs", "9.0.1", inputs=inputs)) == (
        e.SweepDone(life=1, order=yard.events(e.SweepDone)[-1].order)
    )


async def test_uploaded_resources_are_swept_as_inputs_are(yard, tmp_path):
    await yard.start_agent()
    folder = tmp_path / "store/.longshore/inputs/cd"
    (folder / "below").mkdir(parents=True)
    large(folder / "below/x", 3), large(tmp_path / "own", 3)
    resources = (f"file://{folder}/|mv:db", f"file://{tmp_path}/own")
    assert (await swept(yard, "inputs", "9.0.1", resources=resources)).removed == 1
    assert not (folder / "below/x").exists()
    assert (tmp_path / "own").exists()


async def test_stored_output_is_swept(yard):
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "head -c 100000 /dev/zero; head -c 90000 /dev/zero >&2")
    await yard.ended(name)
    assert await yard.dispatcher.blobs.get(subjects.outputs("w1"), f"{name}.stdout.0.gz")
    assert (await swept(yard, "logs", name)).removed == 2
    assert not await yard.dispatcher.blobs.get(subjects.outputs("w1"), f"{name}.stdout.0.gz")


async def test_what_cannot_be_swept_is_told_with_the_reason_and_a_killed_agent_sweeps_in_its_next_life(yard, tmp_path):
    agent = await yard.start_agent()
    answer = await swept(yard, "outputs", "9.0.1", output="https://example.org/out")
    assert "can only be read" in answer.left[0][1]
    agent.sweeps.turn = lambda: None  # the order arrives just before the agent is killed
    order = e.Order(submission=9, spec=TaskSpec(command=("x",)), batch="b", user="u", starts=(e.Start(0, 1),))
    seq = await yard.tell(e.SweepOrdered(what="outputs", orders=(order,)))
    await until(lambda: seq in agent.desk.attempts.errands)
    await yard.kill_agent(agent)
    agent = await yard.start_agent()
    await until(lambda: [x for x in yard.events(e.SweepDone) if x.order == seq])
    await until(lambda: not agent.desk.attempts.errands)


def test_the_newest_progress_takes_the_place_of_the_one_before_and_stays_before_later_phases():
    pending = Pending()
    pending.moved("1.0.1", "staging", 1.0)
    pending.progressed("1.0.1", "staging", 2.0, (1, 9))
    pending.progressed("1.0.1", "staging", 3.0, (5, 9))
    pending.moved("1.0.1", "running", 4.0)
    pending.progressed("1.0.1", "staging", 4.0, (9, 9))
    report = pending.take(1, 1)
    assert [(m.state, m.done) for m in report.moved] == [("staging", 0), ("staging", 9), ("running", 0)]


@pytest.mark.parametrize(
    ("text", "bytes_"), [("", 0), ("17", 17), ("1K", 1024), ("1.5 MiB", 3 << 19), ("2GB", 2 << 30), ("10%", 100)]
)
def test_sizes_are_read_as_operators_write_them(text, bytes_):
    assert sizes.share(text, 1000, "X") == bytes_


@pytest.mark.parametrize("text", ["much", "-1", "1X", "101%", "-3%", "x%"])
def test_a_wrong_size_names_the_setting(text):
    with pytest.raises(BadInput, match="LONGSHORE_X"):
        sizes.share(text, 1000, "LONGSHORE_X")
