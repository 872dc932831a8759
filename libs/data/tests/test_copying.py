"""Copying and syncing between folders of a real disk and a real S3 server: what moves, why, and what is left alone."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from longshore_common.errors import BadInput
from longshore_data import uri
from longshore_data.copying import EVERYTHING, Copying, Selection
from longshore_data.meter import Limits, Meter
from longshore_data.storage import Storage
from longshore_data.store import StoreError

from .rclone_server import S3Server

NAMES = ["plain", "with space.txt", 'quo\'te "x"', "été-日本.bin", "a+b&c=d%20?#~|x", "deep/er/x", "-dash", ".hidden"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    made = S3Server(tmp_path_factory.mktemp("s3") / "root").start()
    made.make_bucket("bucket")
    yield made
    made.stop()


@pytest.fixture
async def copying(server: S3Server) -> AsyncIterator[Copying]:
    storage = Storage(server.environ)
    yield Copying(storage, Limits(4))
    await storage.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for k, name in enumerate(NAMES):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * (k + 1))
    return tmp_path / "source"


@pytest.fixture(params=["file", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> uri.Location:
    if request.param == "file":
        return uri.parse(f"file://{tmp_path}/target/")
    return uri.parse(f"s3://bucket/{tmp_path.name}/target/")


def place(path: Path) -> uri.Location:
    return uri.parse(f"file://{path}/")


async def copy(
    copying: Copying, here: uri.Location, there: uri.Location, selection: Selection = EVERYTHING
) -> list[str]:
    steps = await copying.plan_copy(here, there, selection)
    done: list[str] = []
    assert await copying.do(steps, Meter(), lambda s: done.append(s.target.name), verify=True) == []
    return done


async def names(copying: Copying, where: uri.Location) -> list[str]:
    return [f.path for f in await copying.files(where)]


async def test_a_folder_arrives_whole_and_comes_back_the_same(
    copying: Copying, source: Path, target: uri.Location, tmp_path: Path
) -> None:
    await copy(copying, place(source), target)
    assert await names(copying, target) == sorted(NAMES)
    await copy(copying, target, place(tmp_path / "back"))
    for name in NAMES:
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes()


async def test_a_file_goes_into_a_folder_or_becomes_the_file_named(
    copying: Copying, source: Path, target: uri.Location
) -> None:
    one = uri.parse(f"file://{source}/plain")
    await copy(copying, one, target)
    await copy(copying, one, target.below("other"))
    assert await names(copying, target) == ["other", "plain"]


async def test_only_what_is_chosen_is_copied(copying: Copying, source: Path, target: uri.Location) -> None:
    chosen = Selection(include=("*.txt", "deep/**"), exclude=("*.bin",))
    assert sorted(await copy(copying, place(source), target, chosen)) == ["with space.txt", "x"]


async def test_sync_moves_what_is_new_or_changed_and_names_what_is_extra(
    copying: Copying, source: Path, target: uri.Location
) -> None:
    await copy(copying, place(source), target)
    (source / "plain").write_bytes(b"longer than before")
    (source / "new").write_bytes(b"n")
    (source / "-dash").unlink()
    later = (source / "été-日本.bin").stat().st_mtime + 3600
    os.utime(source / "été-日本.bin", (later, later))
    steps, extra = await copying.plan_sync(place(source), target, EVERYTHING)
    assert sorted((s.target.name, s.why) for s in steps) == [
        ("new", "new"), ("plain", "changed"), ("été-日本.bin", "changed"),
    ]  # fmt: skip
    assert extra == ["-dash"]
    assert await copying.do(steps, Meter(), lambda _: None) == []
    await copying.remove(target, extra)
    steps, extra = await copying.plan_sync(place(source), target, EVERYTHING, by_content=True)
    assert (steps, extra) == ([], [])


async def test_sync_by_content_sees_what_sizes_and_times_hide(
    copying: Copying, source: Path, target: uri.Location
) -> None:
    await copy(copying, place(source), target)
    seen = (source / "plain").stat()
    (source / "plain").write_bytes(b"nialp")
    os.utime(source / "plain", ns=(seen.st_atime_ns, seen.st_mtime_ns - 10**12))
    assert (await copying.plan_sync(place(source), target, EVERYTHING))[0] == []
    steps, _ = await copying.plan_sync(place(source), target, EVERYTHING, by_content=True)
    assert [s.target.name for s in steps] == ["plain"]


async def test_what_longshore_keeps_below_an_output_is_not_the_users(
    copying: Copying, source: Path, target: uri.Location
) -> None:
    await copying.storage.of(target).put_bytes(b"{}", uri.manifest(target, "5.0"))
    await copy(copying, place(source), target)
    _, extra = await copying.plan_sync(place(source), target, EVERYTHING)
    assert extra == []
    assert uri.RESERVED not in str(await names(copying, target))


async def test_one_failure_is_told_and_the_others_are_done(
    copying: Copying, source: Path, target: uri.Location
) -> None:
    steps = await copying.plan_copy(place(source), target)
    (source / "plain").unlink()
    done: list[str] = []
    failures = await copying.do(steps, Meter(), lambda s: done.append(s.target.name))
    assert [f.place.name for f in failures] == ["plain"]
    assert "plain" in str(failures[0].error)
    assert len(done) == len(NAMES) - 1


async def test_what_makes_no_sense_names_the_fix(copying: Copying, source: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="end the target in /"):
        await copying.plan_copy(place(source), uri.parse(f"file://{tmp_path}/x"))
    with pytest.raises(StoreError, match="correct the name"):
        await copying.plan_copy(uri.parse("s3://bucket/nothing/here/"), place(tmp_path / "t"))
    step = (await copying.plan_copy(uri.parse(f"file://{source}/plain"), uri.parse(f"file://{source}/")))[0]
    (failure,) = await copying.do([step], Meter(), lambda _: None)
    assert "its own target" in str(failure.error)
    assert (source / "plain").read_bytes() == b"plain"
