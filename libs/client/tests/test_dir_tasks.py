"""Directories become tasks once, whatever is cut off; share what is large; and get back what is new and no more."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from longshore.bookmark import Bookmark
from longshore.dir import places
from longshore.dir.contents import Guard
from longshore.dir.desk import Directories
from longshore.dir.fetching import get, last_left, safe, unfetched
from longshore.dir.marker import Home, Marker
from longshore.dir.sending import LARGE
from longshore.dir.submitting import summed
from longshore.dir.tending import prune, standings
from longshore.showing import Rows
from longshore.writer import Writer
from longshore_common.adapters.memory_log import Hub
from longshore_common.errors import BadInput, NotFound, Refused, Unreachable
from longshore_common.log import Entry

from .dir_world import World, directory, same_tree


@pytest.fixture
async def world(tmp_path: Path, profile: Any, api: Any) -> AsyncIterator[World]:
    made = World(tmp_path, profile, api)
    yield made
    made.reader.close()
    await made.storage.close()


async def test_a_directory_becomes_a_task_that_has_its_files_in_rundir(world):
    home = directory(world, **{"a b.txt": "é", "deep/er/x": "x", "big.bin": b"\0" * LARGE, "deep/big2": b"1" * LARGE})
    (home.path / "mid").write_bytes(b"2" * (LARGE - 1))
    (home.path / "deep/empty").mkdir()
    (home.path / "tool").write_text("#!/bin/sh")
    (home.path / "tool").chmod(0o755)
    (home.path / "link").symlink_to("deep/er/x")
    (one,) = await world.submit(home, running={"cpus": 2.0, "memory": 1 << 30, "run_timeout": 60.0, "env": {"A": "b"}})
    assert (one.result, one.task, one.exit_code) == ("submitted", "1.0", 0)
    spec = world.spec()
    assert (spec.command, spec.container, spec.name, spec.env) == (("run", "it"), "tool:1", "case", {"A": "b"})
    assert (spec.cpus, spec.memory, spec.run_timeout) == (2.0, 1 << 30, 60.0)
    (step,) = spec.steps
    assert (step.command, step.container, step.workdir) == (("run", "it"), "tool:1", "/rundir")
    (collect,) = spec.collects
    assert (collect.path, collect.directory, collect.new) == ("/rundir", True, True)
    staged = await world.staged(spec)
    same_tree(home.path, staged)
    assert os.access(staged / "tool", os.X_OK)
    assert not os.access(staged / "deep/er/x", os.X_OK)
    known = home.known()
    assert (known.task, known.wish, len(known.shared)) == ("1.0", None, 2)


async def test_an_empty_directory_is_a_task_as_well(world):
    home = directory(world)
    (home.path / "in.txt").unlink()
    (one,) = await world.submit(home)
    assert one.ok
    assert (world.spec().mounts, world.spec().volumes) == ((), ("/rundir",))


async def test_the_same_words_again_submit_nothing_and_other_words_are_refused(world):
    home = directory(world)
    await world.submit(home)
    (again,) = await world.submit(home)
    assert (again.result, again.task, again.exit_code) == ("already", "1.0", 0)
    (other,) = await world.submit(home, command=("something", "else"))
    assert (other.result, other.exit_code) == ("failed", 1)
    assert "task 1.0 already" in other.text
    assert len(world.hub.records) == 1


async def test_what_is_large_is_sent_once_for_all_directories(world):
    reference = world.root / "reference"
    reference.write_bytes(os.urandom(LARGE))
    homes = []
    for k in range(5):
        homes.append(directory(world, f"case-{k}", **{"in.txt": str(k)}))
        (homes[-1].path / "ref.fa").symlink_to(reference)
    outcomes = await world.submit(*homes)
    assert [one.result for one in outcomes] == ["submitted"] * 5
    assert sum(one.known for one in outcomes) == 4 * LARGE
    assert [path for path in await world.stored() if path.endswith("/data")] == [
        f"ada/contents/{homes[0].known().shared[0]}/data"
    ]
    assert {one.task for one in outcomes} == {f"{k}.0" for k in range(1, 6)}


async def test_each_directory_has_its_own_outcome(world):
    good, bad = directory(world, "good"), directory(world, "bad")
    (bad.path / "l").symlink_to("nothing-there")
    outcomes = await world.submit(good, Home(world.root / "none"), bad)
    assert [one.result for one in outcomes] == ["submitted", "failed", "failed"]
    assert summed(outcomes) == 1
    assert "no directory" in outcomes[1].text
    assert not (world.root / "none").exists()
    assert bad.read() is None


async def test_more_than_was_meant_leaves_nothing_behind(world):
    home = directory(world, **{"x": b"x" * 100})
    (one,) = await world.submit(home, guard=Guard(size=10))
    assert "--max-size" in one.text
    assert home.read() is None
    assert not (world.root / "store").exists()


async def test_words_that_are_wrong_send_nothing(world):
    home = directory(world)
    (one,) = await world.submit(home, store="https://host/x/")
    assert (one.result, one.exit_code) == ("failed", 2)
    (one,) = await world.submit(home, command=("a\0b",))
    assert one.exit_code == 2
    assert home.read() is None


async def test_a_log_that_is_away_is_told_and_the_same_words_complete_it(world, monkeypatch):
    homes = [directory(world, f"c{k}") for k in range(3)]
    append = world.transport.log.append

    async def away(*_: Any, **__: Any) -> int:
        raise Unreachable("the log does not answer")

    monkeypatch.setattr(world.transport.log, "append", away)
    outcomes = await world.submit(*homes)
    assert summed(outcomes) == 3
    assert all("repeat" in one.text for one in outcomes)
    monkeypatch.setattr(world.transport.log, "append", append)
    outcomes = await world.submit(*homes)
    assert {one.task for one in outcomes} == {"1.0", "2.0", "3.0"}
    assert len(world.hub.records) == 3


async def test_an_acknowledgement_that_was_lost_makes_no_second_task(world, monkeypatch):
    home = directory(world)
    append = world.transport.log.append

    async def lost(entry: Entry, **more: Any) -> int:
        await append(entry, **more)
        raise Unreachable("nobody answered")

    monkeypatch.setattr(world.transport.log, "append", lost)
    (cut,) = await world.submit(home)
    assert (cut.result, home.read().task) == ("failed", "")
    monkeypatch.setattr(world.transport.log, "append", append)
    (one,) = await world.submit(home)
    assert (one.task, len(world.hub.records)) == ("1.0", 1)


async def test_a_repeat_long_after_is_the_first_task_all_the_same(world):
    """The log has forgotten the key by then, the dispatcher has not."""
    home = directory(world)
    await world.submit(home)
    done = home.known()
    home.write(Marker(**{f: getattr(done, f) for f in Marker.__struct_fields__ if f not in ("task", "wish")},
                      wish=world.hub.records[0].event))  # fmt: skip
    world.hub.records[:] = []
    world.answers[1] = {"status": "duplicate", "duplicate_of": 41}
    world.hub = Hub()
    world.writer = Writer(world.profile, Bookmark(None), transport=world.hub.connect("user", "ada"))
    (one,) = await world.submit(home)
    assert one.task == "41.0"


async def test_cut_off_while_sending_it_goes_on_in_the_same_place(world, monkeypatch):
    home = directory(world, **{"big": b"1" * LARGE, "small": "2"})
    put = world.shelf.put_bytes

    async def cut(data: bytes, place: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(world.shelf, "put_bytes", cut)
    with suppress(asyncio.CancelledError):
        await world.submit(home)
    begun = home.read()
    assert (begun.task, begun.wish, len(begun.shared)) == ("", None, 1)
    monkeypatch.setattr(world.shelf, "put_bytes", put)
    (home.path / "big").write_bytes(b"3" * LARGE)
    (one,) = await world.submit(home)
    assert one.ok
    assert home.known().place == begun.place
    assert home.known().shared != begun.shared
    assert len([path for path in await world.stored() if path.endswith("/data")]) == 1
    same_tree(home.path, await world.staged(world.spec()))


async def test_a_refused_submission_leaves_nothing_and_may_be_made_anew(world):
    home = directory(world, **{"big": b"1" * LARGE})
    world.answers[1] = {"status": "rejected", "reason": "viewers submit nothing"}
    (one,) = await world.submit(home)
    assert (one.result, one.exit_code) == ("failed", 1)
    assert "viewers" in one.text
    assert (home.read(), await world.stored()) == (None, [])
    (one,) = await world.submit(home)
    assert one.task == "2.0"


@pytest.mark.parametrize("why", [Refused("viewers submit nothing"), BadInput("one event is too large")])
async def test_what_the_log_refuses_leaves_nothing_either(world, monkeypatch, why):
    home = directory(world, **{"big": b"1" * LARGE})

    async def refusing(*_: Any, **__: Any) -> int:
        raise why

    monkeypatch.setattr(world.transport.log, "append", refusing)
    (one,) = await world.submit(home)
    assert (one.result, one.text, one.exit_code) == ("failed", str(why), why.exit_code)
    assert (home.read(), await world.stored()) == (None, [])


async def test_a_file_that_changes_while_it_is_read_is_told(world, monkeypatch):
    home = directory(world, **{"a": "1", "b": "2"})
    real = os.fstat

    def changed(descriptor: int) -> Any:
        seen = real(descriptor)
        return os.stat_result((*seen[:6], 99, *seen[7:]))

    monkeypatch.setattr("longshore.dir.sending.os.fstat", changed)
    (one,) = await world.submit(home)
    assert (one.result, one.exit_code) == ("failed", 3)
    assert "changed while it was read" in one.text


# --- fetching ---


async def test_what_is_new_is_fetched_and_nothing_twice(world):
    home = directory(world, **{"in.txt": "one"})
    await world.submit(home)
    results = world.results(home)
    (results / "deep").mkdir()
    (results / "deep/out é.txt").write_text("result")
    (results / "in.txt").write_text("ONE")
    got = await get(home, home.known(), world.shelf)
    assert (got.new, got.here, got.kept, got.failed) == (2, 0, (), ())
    assert (home.path / "deep/out é.txt").read_text() == "result"
    assert (home.path / "in.txt").read_text() == "ONE"
    again = await get(home, home.known(), world.shelf)
    assert (again.new, again.here) == (0, 2)
    (home.path / "in.txt").unlink()
    assert (await get(home, home.known(), world.shelf)).new == 1


async def test_what_was_changed_here_is_kept_unless_forced(world):
    home = directory(world, **{"in.txt": "one"})
    await world.submit(home)
    (home.path / "in.txt").write_text("mine, later")
    (home.path / "other").write_text("same bytes")
    results = world.results(home)
    (results / "in.txt").write_text("theirs")
    (results / "other").write_text("same bytes")
    got = await get(home, home.known(), world.shelf)
    assert (got.new, got.here, got.kept) == (0, 1, ("in.txt",))
    assert (home.path / "in.txt").read_text() == "mine, later"
    got = await get(home, home.known(), world.shelf, force=True)
    assert (got.new, (home.path / "in.txt").read_text()) == (1, "theirs")


async def test_an_input_that_comes_back_unchanged_is_not_moved(world):
    home = directory(world, **{"in.txt": "one"})
    await world.submit(home)
    (world.results(home) / "in.txt").write_text("one")
    got = await get(home, home.known(), world.shelf)
    assert (got.new, got.here) == (0, 1)
    assert await unfetched(world.shelf, places.at(home.known().place), home.files()) == 0


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a//b", ".longshore/task.json", ".longshoreignore", "out/x"]
)
def test_nothing_is_fetched_to_elsewhere(tmp_path, path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home/out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput):
        safe(str(tmp_path / "home"), path)


async def test_a_bad_name_in_storage_stops_no_other(world):
    home = directory(world)
    await world.submit(home)
    (home.path / "out").symlink_to(world.root)
    results = world.results(home)
    (results / "out").mkdir()
    (results / "out/evil").write_text("x")
    (results / "good").write_text("y")
    got = await get(home, home.known(), world.shelf)
    assert (got.new, len(got.failed)) == (1, 1)
    assert not (world.root / "evil").exists()


async def test_what_only_an_earlier_attempt_left_is_not_a_result(world):
    home = directory(world)
    await world.submit(home)
    world.states["1.0"] = "succeeded"
    world.attempt = 2
    world.api.routes["/tasks/1.0/attempts"] = lambda _: {
        "items": [
            {"id": "1.0.1", "n": 1, "collected": [{"path": "/rundir/old"}]},
            {"id": "1.0.2", "n": 2, "collected": [{"path": "/rundir/deep/new"}]},
        ]
    }
    results = world.results(home)
    (results / "deep").mkdir()
    (results / "deep/new").write_text("x")
    (results / "old").write_text("y")
    task = (await standing(world, home)).known
    last = last_left(task, world.reader)
    assert last == {"deep/new"}
    got = await get(home, home.known(), world.shelf, last=last)
    assert (got.new, got.earlier) == (1, 1)
    assert not (home.path / "old").exists()
    assert await prune(await standing(world, home), world.shelf, fetched_only=world.reader) == 3


# --- removing ---


async def standing(world: World, home: Home) -> Any:
    (one,) = standings([(home, home.read())], world.reader)
    return one


async def test_what_runs_is_not_pruned_and_what_ended_may_be_submitted_anew(world):
    home = directory(world, **{"big": b"1" * LARGE})
    await world.submit(home)
    world.states["1.0"] = "running"
    with pytest.raises(Refused, match=r"1\.0 is running"):
        await prune(await standing(world, home), world.shelf)
    world.states["1.0"] = "succeeded"
    (world.results(home) / "out").write_text("x")
    with pytest.raises(Refused, match="1 files are not fetched"):
        await prune(await standing(world, home), world.shelf, fetched_only=world.reader)
    await get(home, home.known(), world.shelf)
    assert await prune(await standing(world, home), world.shelf, fetched_only=world.reader) == 2 - 1
    assert await world.stored() == []
    assert home.retired()
    assert (home.path / "out").read_text() == "x"
    (one,) = await world.submit(home)
    assert (one.result, one.task) == ("submitted", "2.0")


async def test_a_shared_content_goes_with_its_last_user(world):
    one, other = (directory(world, name, **{"big": b"1" * LARGE}) for name in ("one", "other"))
    await world.submit(one, other)
    world.states = {"1.0": "failed", "2.0": "cancelled"}
    await prune(await standing(world, one), world.shelf)
    assert [path for path in await world.stored() if path.endswith("/data")]
    await prune(await standing(world, other), world.shelf)
    assert await world.stored() == []
    assert (
        not any((world.root / "store/ada/contents").iterdir()) if (world.root / "store/ada/contents").exists() else True
    )


async def test_who_shares_while_another_removes_keeps_a_copy_of_its_own(world):
    home = directory(world, **{"big": b"1" * LARGE})
    await world.submit(home)
    digest = home.known().shared[0]
    removers = world.root / f"store/ada/contents/{digest}/removed-by"
    removers.mkdir()
    (removers / "somebody").touch()
    other = directory(world, "other", **{"big": b"1" * LARGE})
    await world.submit(other)
    assert any(f"/directories/{other.known().key}/contents/" in mount.uri for mount in world.spec().mounts)
    shutil.rmtree(removers.parent)
    same_tree(other.path, await world.staged(world.spec()))


async def test_another_task_of_the_same_id_is_not_touched(world):
    home = directory(world)
    await world.submit(home, command=("run", "something"))
    with pytest.raises(Refused, match="another one"):
        await prune(await standing(world, home), world.shelf)
    assert await prune(await standing(world, home), world.shelf, force=True) == 1


async def test_again_makes_another_task_of_what_ended_and_was_fetched(world):
    home = directory(world)
    await world.submit(home)
    (one,) = await world.submit(home, again=True)
    assert "queued" in one.text
    world.states["1.0"] = "failed"
    (world.results(home) / "out").write_text("x")
    (one,) = await world.submit(home, again=True)
    assert "not fetched" in one.text
    await get(home, home.known(), world.shelf)
    (one,) = await world.submit(home, again=True, command=("run", "otherwise"))
    assert (one.result, one.task) == ("submitted", "2.0")
    assert "out" in home.files().sent


async def test_programs_have_the_same_verbs(world, monkeypatch):
    home = directory(world)
    desk = Directories(world.writer, world.reader)
    (one,) = await desk.submit(
        [home.path], "tool:1", ["run", "it"], world.store, batch="b", memory="1G", env={"A": "b"}
    )
    assert (one.result, world.spec().memory, world.spec().env) == ("submitted", 1 << 30, {"A": "b"})
    (told,) = await desk.standing(home.path)
    assert (told.task, told.state, told.command) == ("1.0", "queued", ("run", "it"))
    (world.results(home) / "out").write_text("x")
    assert (await desk.get(home.path)).new == 1
    with pytest.raises(Refused, match="queued"):
        await desk.prune(home.path)
    world.states["1.0"] = "succeeded"
    assert await desk.prune(home.path) == 2
    with pytest.raises(NotFound, match="not submitted"):
        await desk.standing(home.path)
    assert "submitted" in Rows([one])._repr_html_()
    assert "run it" in told._repr_html_()
