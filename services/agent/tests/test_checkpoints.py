"""Checkpoints in storage: whole, or the one before; and what a sweep believes of a manifest."""

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from longshore_agent.adapters.staging import StorageStager
from longshore_agent.core.contract import Places
from longshore_agent.core.ports import Sweep
from longshore_common.errors import Unreadable
from longshore_common.events import Start
from longshore_common.ids import AttemptId, TaskId
from longshore_common.model import OutputFile, TaskSpec
from longshore_data import manifest
from longshore_data.storage import Storage
from longshore_data.stores.file import FileStore

from .test_publishing import Dying, Place, place, servers  # noqa: F401  fixtures

FIRST, SECOND = {"a": "1", "deep/b": "1"}, {"a": "2", "c": "2"}


def fill(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


async def restored(place: Place, root: Path) -> dict[str, str]:  # noqa: F811
    spec = TaskSpec(command=("x",), checkpoint="state", output=place.output)
    places = Places("", "", str(root), "")
    await place.stager().stage_in(AttemptId("5.0.9"), spec, Start(0, 9), places)
    return {str(p.relative_to(root / "state")): p.read_text() for p in (root / "state").rglob("*") if p.is_file()}


@pytest.mark.parametrize("after", [True, False])
async def test_a_save_cut_short_at_any_step_leaves_the_one_before_or_the_new_one(
    place: Place, tmp_path: Path, *, after: bool  # noqa: F811
) -> None:  # fmt: skip
    first, second = fill(tmp_path / "first", FIRST), fill(tmp_path / "second", SECOND)
    base = place.output
    for step in range(1, 20):
        place.output = f"{base} {step}"
        assert await place.stager().save(AttemptId("5.0.1"), place.output, first)
        dying = Dying(place.store(), step, after=after)
        cut = False
        try:
            await place.stager(dying).save(AttemptId("5.0.2"), place.output, second)  # type: ignore[arg-type]
        except asyncio.CancelledError:
            cut = True
        assert await restored(place, tmp_path / f"got {step}") in ((FIRST, SECOND) if cut else (SECOND,))
        await place.stager().tidy(AttemptId("5.0.9"), place.output)
        assert await place.content() == {}
        if not cut:
            return
    raise AssertionError("saving has more steps than this test knows")


async def test_one_file_may_be_a_checkpoint_and_nothing_is_none(tmp_path: Path) -> None:
    place = Place(f"file://{tmp_path}/out", FileStore)  # noqa: F811
    assert not await place.stager().save(AttemptId("5.0.1"), place.output, str(tmp_path / "state"))
    fill(tmp_path, {"state": "here"})
    assert await place.stager().save(AttemptId("5.0.1"), place.output, str(tmp_path / "state"))
    spec = TaskSpec(command=("x",), checkpoint="state", output=place.output)
    got = tmp_path / "got"
    got.mkdir()
    await place.stager().stage_in(AttemptId("5.0.2"), spec, Start(0, 2), Places("", "", str(got), ""))
    assert (got / "state").read_text() == "here"
    for store in place.opened:
        await store.close()


async def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path) -> None:
    place = Place(f"file://{tmp_path}/out", FileStore)  # noqa: F811
    await place.stager().save(AttemptId("5.0.1"), place.output, fill(tmp_path / "first", FIRST))
    (tmp_path / "out/.longshore/5.0.checkpoint/5.0.1/a").write_text("9")
    assert await restored(place, tmp_path / "got") == {}
    assert not (tmp_path / "got/state").exists()
    for store in place.opened:
        await store.close()


async def test_a_sweep_removes_nothing_outside_whatever_a_manifest_says(tmp_path: Path) -> None:
    fill(tmp_path, {"precious": "x", "out/made": "y"})
    entries = [{"path": "../precious", "size": 1, "sha256": ""}, {"path": "made", "size": 1, "sha256": ""}]
    fill(tmp_path, {"out/.longshore/5.0.json": json.dumps({"task": "5.0", "attempt": "5.0.1", "files": entries})})
    stager = StorageStager(Storage({}))
    spec = TaskSpec(command=("x",), output=f"file://{tmp_path}/out")
    removed, left = await stager.sweep(Sweep("outputs", TaskId("5.0"), AttemptId("5.0.1"), spec))
    assert (removed, len(left)) == (0, 1)
    assert "not a safe relative path" in left[0][1]
    assert (tmp_path / "precious").exists()
    await stager.close()


FILES = st.lists(st.builds(OutputFile, st.text(), st.integers(0, 2**63 - 1), st.text("0123456789abcdef", max_size=64)))


@given(FILES, st.text(), st.lists(st.builds(manifest.Identity, st.text(), st.text())))
def test_a_manifest_read_again_says_the_same(files, image, inputs):
    origin = manifest.Origin(image, "c", tuple(inputs))
    known = manifest.decode(manifest.encode("5.0.1", "5.0", tuple(files), origin))
    assert known.origin == origin
    assert manifest.holds(known, tuple(files))


@given(
    st.binary()
    | st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(
        lambda x: json.dumps(x).encode()
    )
)
@example(b'{"task": "1.0", "attempt": "1.0.1", "files": [{"path": 5}]}')
@example(b'{"task": "\xff"}')
def test_what_is_no_manifest_is_unreadable_and_nothing_worse(data):
    try:
        assert isinstance(manifest.decode(data), manifest.Manifest)
    except Unreadable as err:
        said = str(err)
    else:
        said = "not a manifest"
    assert "not a manifest" in said


def test_a_command_read_by_a_shell_is_another_command():
    digests = {
        manifest.command_digest(words, shell=shell) for words in (("a", "b"), ("a b",)) for shell in (True, False)
    }
    assert len(digests) == 4
    assert len(hashlib.sha256().hexdigest()) == len(digests.pop())
