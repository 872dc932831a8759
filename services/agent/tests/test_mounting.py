"""What is mounted: fetched, put where it belongs, again after a failure, and told from what is new."""

from pathlib import Path

import pytest

from longshore_agent.adapters.staging import StorageStager
from longshore_agent.core.contract import Places
from longshore_agent.core.ports import StagingError
from longshore_common.events import Start
from longshore_common.ids import AttemptId
from longshore_common.model import Collect, Mount, TaskSpec
from longshore_data.storage import Storage

A = AttemptId("5.0.1")


@pytest.fixture
async def stager():
    made = StorageStager(Storage({}))
    yield made
    await made.close()


@pytest.fixture
def places(tmp_path):
    root = tmp_path / "attempt"
    made = Places(*(str(root / name) for name in ("input", "output", "temp", "resource")))
    for place in made:
        Path(place).mkdir(parents=True)
    return made


@pytest.fixture
def source(tmp_path):
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "x").write_text("x")
    (tmp_path / "f").write_text("f")
    return tmp_path


def task(*mounts, **fields):
    return TaskSpec(command=("true",), container="i", mounts=mounts, **fields)


async def stage(stager, spec, places):
    await stager.stage_in(A, spec, Start(0, 1), places)


def found(root):
    return {str(p.relative_to(root)): p.read_text() for p in Path(root).rglob("*") if p.is_file()}


async def test_a_second_try_replaces_what_the_first_left(stager, places, source):
    mounts = [
        Mount(uri=f"file://{source}/d", path="/input/d", directory=True),
        Mount(uri=f"file://{source}/d", path="/tmp", directory=True),
        Mount(uri=f"file://{source}/f", path="/data/f"),
    ]
    missing = Mount(uri=f"file://{source}/late", path="/data/late")
    spec = task(*mounts, missing, inputs=(f"file://{source}/f",))
    with pytest.raises(StagingError, match="late"):
        await stage(stager, spec, places)
    (source / "late").write_text("late")
    await stage(stager, spec, places)
    await stage(stager, spec, places)
    assert found(places.tree) == {"data/f": "f", "data/late": "late"}
    assert found(places.input) == {"d/sub/x": "x", "f": "f"}
    assert found(places.temp) == {"sub/x": "x"}


async def test_what_came_is_anybodys_to_write(stager, places, source):
    (source / "d" / "sub" / "x").chmod(0o400)
    await stage(stager, task(Mount(uri=f"file://{source}/d/", path="/data", directory=True)), places)
    assert (Path(places.tree) / "data/sub").stat().st_mode & 0o777 == 0o777
    assert (Path(places.tree) / "data/sub/x").stat().st_mode & 0o666 == 0o666
    assert (source / "d/sub/x").stat().st_mode & 0o777 == 0o400


async def test_a_folder_is_no_file_and_several_files_are_none(stager, places, source):
    with pytest.raises(StagingError, match="is a folder"):
        await stage(stager, task(Mount(uri=f"file://{source}/d/", path="/data/d")), places)
    with pytest.raises(StagingError, match=r"(?i)no such|folder|not there"):
        await stage(stager, task(Mount(uri=f"file://{source}/d", path="/data/d")), places)


async def test_what_is_new_is_told_from_inputs_and_mounts(stager, places, source):
    collects = tuple(
        Collect(path=path, uri=f"file://{source}/out{path}/", directory=True, new=True) for path in ("/input", "/data")
    )
    mount = Mount(uri=f"file://{source}/d/", path="/data", directory=True)
    spec = task(mount, inputs=(f"file://{source}/f",), collects=collects)
    await stage(stager, spec, places)
    (Path(places.input) / "made").write_text("made")
    (Path(places.tree) / "data/sub/x").write_text("other")
    await stager.collect(A, spec, places)
    assert found(source / "out") == {"input/made": "made", "data/sub/x": "other"}
