"""A log, an api, storage and directories, for the tests of `longshore dir`."""

import os
from pathlib import Path
from typing import Any

from longshore.bookmark import Bookmark
from longshore.dir import places
from longshore.dir.marker import Home
from longshore.dir.places import Shelf
from longshore.dir.submitting import Outcome, Submitting, Wanted
from longshore.reader import Reader
from longshore.writer import Writer
from longshore_common.adapters.memory_log import Hub
from longshore_common.model import TaskSpec
from longshore_data import uri
from longshore_data.meter import Limits
from longshore_data.storage import Storage
from longshore_data.transfer import Transfer


class World:
    """A log, an api that knows its submissions, a store, and a user."""

    def __init__(
        self, root: Path, profile: Any, api: Any, *, store: str = "", environ: dict[str, str] | None = None
    ) -> None:
        self.root, self.profile, self.api = root, profile, api
        self.store = store or f"file://{root}/store/"
        self.hub = Hub()
        self.states: dict[str, str] = {}
        self.attempt = 1
        self.answers: dict[int, dict[str, Any]] = {}
        self.storage = Storage(environ or {})
        self.shelf = Shelf(self.storage, Limits(8))
        self.reader = Reader(profile, Bookmark(None))
        self.transport = self.hub.connect("user", "ada")
        self.writer = Writer(profile, Bookmark(None), transport=self.transport)
        api.routes["/tasks"] = self._tasks
        for number in range(1, 200):
            api.routes[f"/submissions/{number}"] = lambda _, number=number: self._submission(number)
            api.routes[f"/tasks/{number}.0"] = lambda _, number=number: self._task(f"{number}.0")

    def _submission(self, number: int) -> dict[str, Any]:
        return {"id": number, "size": 1, "status": "accepted", **self.answers.get(number, {})}

    def _task(self, name: str) -> dict[str, Any]:
        return {"id": name, "state": self.states.get(name, "queued"), "command": ["run", "it"], "user": "ada",
                "attempt": self.attempt}  # fmt: skip

    def _tasks(self, query: dict[str, str]) -> dict[str, Any]:
        return {"items": [self._task(name) for name in query["ids"].split(",")], "next": None}

    def wanted(self, **more: Any) -> Wanted:
        said = {
            "image": "tool:1",
            "command": ("run", "it"),
            "store": self.store,
            "batch": "b",
            **more,
        }
        return Wanted(**said)

    async def submit(self, *homes: Home, **more: Any) -> list[Outcome]:
        work = Submitting(self.writer, self.reader, self.shelf, self.wanted(**more))
        return await work.many(homes, lambda _: None)

    def spec(self, number: int = -1) -> TaskSpec:
        return self.hub.records[number].event.body.spec

    async def staged(self, spec: TaskSpec, name: str = "rundir") -> Path:
        """What an agent makes of the mounts of a task."""
        base = self.root / name
        base.mkdir()
        transfer = Transfer(self.storage, Limits(4))
        for mount in spec.mounts:
            place = base / mount.path.removeprefix("/rundir").lstrip("/")
            scratch = self.root / "scratch"
            scratch.mkdir()
            await transfer.bring([uri.source(mount.uri)], str(scratch))
            if mount.directory:
                scratch.rename(base) if not os.listdir(base) else None
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                next(scratch.iterdir()).rename(place)
                scratch.rmdir()
        await transfer.close()
        return base

    def results(self, home: Home) -> Path:
        """Where its task leaves files, if storage is this disk."""
        folder = Path(str(places.at(home.known().place).results).removeprefix("file://"))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def stored(self) -> list[str]:
        return sorted(found.path for found in await self.shelf.listed(uri.parse_output(self.store)))


def directory(world: World, name: str = "case", **files: str | bytes) -> Home:
    root = world.root / name
    root.mkdir()
    for path, content in (files or {"in.txt": "one"}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return Home(root)


def same_tree(one: Path, other: Path) -> None:
    def tree(root: Path) -> dict[str, Any]:
        return {
            str(p.relative_to(root)): os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else None
            for p in root.rglob("*")
            if ".longshore" not in str(p.relative_to(root))
        }

    assert tree(one) == tree(other)
