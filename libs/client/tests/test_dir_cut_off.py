"""Whatever is killed at whichever moment, a directory becomes one task with its files, and nothing is left over."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from longshore.dir.marker import Home
from longshore.dir.places import Shelf
from longshore.dir.sending import LARGE
from longshore.dir.tending import prune, standings
from longshore_data.meter import Limits
from longshore_data.storage import Storage
from longshore_data.stores.file import FileStore

from .dir_world import World, directory, same_tree


class Killed(BaseException):
    """The process is gone."""


class Clock:
    """Kills at the k-th thing that is done, before it is done or after."""

    def __init__(self) -> None:
        self.left = -1
        self.after = False

    def before(self, what: str) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed(what)

    def behind(self, what: str) -> None:
        if self.left == 0 and self.after:
            raise Killed(what)


class Mortal(FileStore):
    """Storage on whose every call the caller may die."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    async def _do(self, doing: str, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.clock.before(doing)
        try:
            return await super()._do(doing, work, *args, **kwargs)
        finally:
            self.clock.behind(doing)


@pytest.fixture
async def mortal(tmp_path, profile, api, monkeypatch):
    world, clock = World(tmp_path, profile, api), Clock()
    world.storage = Storage({}, stores={"file": Mortal(clock)})
    world.shelf = Shelf(world.storage, Limits(8))

    def mortally(owner: Any, name: str) -> None:
        whole = getattr(owner, name)
        if asyncio.iscoroutinefunction(whole):

            async def waiting(*args: Any, **more: Any) -> Any:
                clock.before(name)
                try:
                    return await whole(*args, **more)
                finally:
                    clock.behind(name)

            monkeypatch.setattr(owner, name, waiting)
            return

        def doing(*args: Any, **more: Any) -> Any:
            clock.before(name)
            try:
                return whole(*args, **more)
            finally:
                clock.behind(name)

        monkeypatch.setattr(owner, name, doing)

    for name in ("write", "write_files", "retire"):
        mortally(Home, name)
    mortally(world.writer, "submit")
    mortally(world.reader, "submission")
    yield world, clock
    world.reader.close()
    await world.storage.close()


async def killed(clock: Clock, left: int, work: Any, *, after: bool) -> bool:
    """Whether there was such a moment."""
    clock.left, clock.after = left, after
    with suppress(Killed):
        await work
    reached, clock.left = clock.left <= 0, -1
    return reached


@pytest.mark.parametrize("after", [False, True])
async def test_killed_anywhere_while_submitting(mortal: tuple[World, Clock], after: bool) -> None:
    world, clock = mortal
    for moment in range(1, 60):
        home = directory(world, f"case-{moment}", **{"in.txt": str(moment), "big": bytes([moment]) * LARGE})
        before = len(world.hub.records)
        died = await killed(clock, moment, world.submit(home), after=after)
        in_log = len(world.hub.records) > before
        (home.path / "later").write_text("written between the two")
        (one,) = await world.submit(home)
        assert one.ok, one
        assert len(world.hub.records) == before + 1
        assert one.task == f"{before + 1}.0"
        staged = await world.staged(world.spec(), f"staged-{moment}")
        if in_log:  # then it is what it was, whatever was done here since
            (home.path / "later").unlink()
        elif not (staged / "later").exists():  # nor is it another after it was promised
            assert one.result == "already"
            (home.path / "later").unlink()
        same_tree(home.path, staged)
        world.states[one.task] = "succeeded"
        (standing,) = standings([(home, home.known())], world.reader)
        await prune(standing, world.shelf)
        assert await world.stored() == []
        if not died:
            assert moment >= 12
            return
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("after", [False, True])
async def test_killed_anywhere_while_pruning(mortal: tuple[World, Clock], after: bool) -> None:
    world, clock = mortal
    for moment in range(1, 60):
        content = bytes([moment]) * LARGE
        home, other = (directory(world, f"{name}-{moment}", big=content, small="s") for name in ("a", "b"))
        await world.submit(home)
        await world.submit(other)
        world.states = {f"{k}.0": "failed" for k in range(1, 200)}
        (standing,) = standings([(home, home.known())], world.reader)
        died = await killed(clock, moment, prune(standing, world.shelf), after=after)
        if home.read() is not None:
            (standing,) = standings([(home, home.known())], world.reader)
            await prune(standing, world.shelf)
        assert home.retired()
        number = int(other.known().task.partition(".")[0]) - 1
        same_tree(other.path, await world.staged(world.spec(number), f"staged-{moment}"))
        (standing,) = standings([(other, other.known())], world.reader)
        await prune(standing, world.shelf)
        assert not [path for path in await world.stored() if "removed-by" not in path]
        if not died:
            return
    raise AssertionError("it never came to its end")
