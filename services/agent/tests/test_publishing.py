"""Publishing can be cut short at any step and finished by anybody: each output then stands exactly once."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from longshore_agent.adapters.staging import StorageStager
from longshore_agent.core.ports import StagingError
from longshore_common.ids import AttemptId, TaskId
from longshore_common.model import OutputFile
from longshore_data import uri
from longshore_data.storage import Storage
from longshore_data.store import Store
from longshore_data.stores.file import FileStore
from longshore_data.stores.s3 import S3Store, Sizes
from longshore_data.stores.s3_client import S3Settings

from .storage import Server

A, T = AttemptId("5.0.2"), TaskId("5.0")
FILES = {"a b.txt": b"one", "sub/é": b"two", "sub/deep/z": b"", "sub/q'": b"four"}


class Dying:
    """A store whose process dies at its `step`-th change, before or after that change is made."""

    def __init__(self, store: Store, step: int, *, after: bool) -> None:
        self.store, self.left, self.after = store, step, after

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        real: Callable[..., Awaitable[object]] = getattr(self.store, name)
        return self._counted(real) if name in ("put", "copy", "put_bytes", "settle", "drop") else real

    def _counted(self, real: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def call(*args: object) -> object:
            self.left -= 1
            if self.left < 0:
                raise asyncio.CancelledError
            if self.left == 0 and not self.after:
                raise asyncio.CancelledError
            result = await real(*args)
            if self.left == 0:
                raise asyncio.CancelledError
            return result

        return call


class Place:
    """An output folder on some storage, and stagers as of different workers."""

    def __init__(self, output: str, make: Callable[[], Store]) -> None:
        self.output, self.make = output, make
        self.opened: list[Store] = []

    def store(self) -> Store:
        self.opened.append(self.make())
        return self.opened[-1]

    def stager(self, store: Store | None = None) -> StorageStager:
        chosen = store or self.store()
        return StorageStager(Storage({}, stores={"s3": chosen, "file": chosen}))

    async def content(self) -> dict[str, bytes]:
        store, root = self.store(), uri.parse_output(self.output)
        return {f.path: await store.read_bytes(root.below(f.path)) for f in await store.listing(root)}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    started: dict[str, Server] = {}

    def get(kind: str) -> Server:
        if kind not in started:
            (root := tmp_path_factory.mktemp(kind) / "s3").mkdir()
            started[kind] = Server(kind, root).start()
        return started[kind]

    yield get
    for server in started.values():
        server.stop()


async def open_store(server: Server, bucket: str, sizes: Sizes | None = None) -> S3Store:
    settings = S3Settings.from_environ(server.environ)
    store = S3Store(settings, sizes=sizes)
    await (await store._clients.get(settings)).create_bucket(Bucket=bucket)
    return store


@pytest.fixture(params=["file", "rclone", pytest.param("moto", marks=pytest.mark.slow)])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, servers: Callable[[str], Server]
) -> AsyncIterator[Place]:
    if request.param == "file":
        made = Place(f"file://{tmp_path}/the out", FileStore)
    else:
        bucket = "b" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]
        store = await open_store(servers(request.param), bucket)
        made = Place(f"s3://{bucket}/the out", lambda: store)
    yield made
    for opened in made.opened:
        await opened.close()


@pytest.fixture
def made(tmp_path: Path) -> str:
    root = tmp_path / "made"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return str(root)


def check(content: dict[str, bytes], files: dict[str, bytes] = FILES) -> None:
    manifest = json.loads(content.pop(".longshore/5.0.json"))
    assert content == files
    assert (manifest["task"], manifest["attempt"]) == (T, A)
    assert manifest["files"] == [
        {"path": p, "size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for p, d in sorted(files.items())
    ]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("after", [True, False])
async def test_cut_short_at_any_step_another_worker_finishes(
    place: Place, made: str, *, after: bool, known: bool
) -> None:
    base = place.output
    for step in range(1, 20):
        place.output = f"{base} {step}"
        files, _ = await place.stager().deliver(A, place.output, made)
        dying = Dying(place.store(), step, after=after)
        try:
            await place.stager(dying).publish(A, T, place.output, files)  # type: ignore[arg-type]
        except asyncio.CancelledError:
            assert dying.left <= 0
        finished = await place.stager().publish(A, T, place.output, files if known else None)
        assert finished == len(FILES)
        check(await place.content())
        assert await place.stager().publish(A, T, place.output, None) == len(FILES)
        check(await place.content())
        if dying.left > 0:
            return
    raise AssertionError("publishing has more steps than this test knows")


async def test_before_publication_nothing_is_seen_and_no_manifest_is_there(place: Place, made: str) -> None:
    await place.stager().deliver(A, place.output, made)
    assert all(path.startswith(f".longshore/{A}/") for path in await place.content())


async def test_two_workers_may_publish_at_once(place: Place, made: str) -> None:
    files, _ = await place.stager().deliver(A, place.output, made)
    first, second = place.stager(), place.stager()
    done = await asyncio.gather(
        first.publish(A, T, place.output, files), second.publish(A, T, place.output, None), return_exceptions=True
    )
    assert len(FILES) in done
    check(await place.content())


async def test_a_task_without_files_has_an_empty_manifest_also_when_finished_by_another(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "nothing").mkdir()
    files, size = await place.stager().deliver(A, place.output, str(tmp_path / "nothing"))
    assert (files, size) == ((), 0)
    assert await place.stager().publish(A, T, place.output, None) == 0
    assert await place.stager().publish(A, T, place.output, None) == 0
    assert await place.stager().publish(A, T, place.output, ()) == 0
    check(await place.content(), {})


@pytest.mark.parametrize("known", [True, False])
async def test_outputs_that_are_gone_without_a_manifest_are_an_error(place: Place, *, known: bool) -> None:
    files = (OutputFile("x", 1, "00"),) if known else None
    with pytest.raises(StagingError, match="are gone") as caught:
        await place.stager().publish(A, T, place.output, files)
    assert (caught.value.cause, caught.value.retriable) == ("stage-out", False)


async def test_the_manifest_of_another_attempt_does_not_count(place: Place, made: str) -> None:
    files, _ = await place.stager().deliver(A, place.output, made)
    await place.stager().publish(A, T, place.output, files)
    with pytest.raises(StagingError, match="are gone"):
        await place.stager().publish(AttemptId("5.0.3"), T, place.output, None)


async def test_ids_that_came_again_after_a_new_beginning_do_not_hide_new_outputs(place: Place, made: str) -> None:
    files, _ = await place.stager().deliver(A, place.output, made)
    await place.stager().publish(A, T, place.output, files)
    Path(made, "a b.txt").write_bytes(b"new")
    await place.stager().deliver(A, place.output, made)
    await place.stager().publish(A, T, place.output, None)
    check(await place.content(), {**FILES, "a b.txt": b"new"})


async def test_objects_too_large_for_one_copy_are_copied_in_parts(
    tmp_path: Path, servers: Callable[[str], Server]
) -> None:
    store = await open_store(servers("moto"), "bucket", Sizes(copy_limit=1 << 20, copy_part=5 << 20))
    stager = StorageStager(Storage({}, stores={"s3": store}))
    (tmp_path / "made").mkdir()
    data = bytes(range(256)) * 45_000
    (tmp_path / "made" / "large").write_bytes(data)
    files, _ = await stager.deliver(A, "s3://bucket/out", str(tmp_path / "made"))
    assert await stager.publish(A, T, "s3://bucket/out", files) == 1
    root = uri.parse("s3://bucket/out/")
    assert await store.read_bytes(root.below("large")) == data
    assert await store.digest(root.below("large")) == files[0].digest
    await stager.close()
