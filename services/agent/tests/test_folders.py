"""Where paths in containers are on this host: whatever a task names, all of it is below its own directory."""

import os
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from longshore_agent.adapters.folders import Folders
from longshore_agent.core.contract import Places
from longshore_common import inside
from longshore_common.model import Collect, Mount, Step, TaskSpec

_segment = st.sampled_from(
    ["a", "b", "etc", "usr", "bin", "tmp", "input", "output", "data", "var", "lib", "..", ".", "", "*"]
)
_path = st.lists(_segment, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))
_file = st.one_of(st.just(""), _path)


@st.composite
def tasks(draw):
    steps = tuple(
        Step(command=("x",), container="i", workdir=draw(_file), stdin=draw(_file), stdout=draw(_file))
        for _ in range(draw(st.integers(1, 2)))
    )
    mounts = [Mount(uri="s3://b/x", path=p, directory=d) for p, d in draw(_named)]
    collects = [Collect(uri="s3://b/x", path=p, directory=d) for p, d in draw(_named)]
    volumes = draw(st.lists(_path, max_size=2))
    return TaskSpec(
        command=("x",),
        container="i",
        steps=steps,
        mounts=tuple(mounts),
        collects=tuple(collects),
        volumes=tuple(volumes),
    )


_named = st.lists(st.tuples(_path, st.booleans()), max_size=3)


def _under(root, path):
    return os.path.realpath(path).startswith(root + "/")


@given(tasks())
def test_what_is_not_refused_can_be_made_and_is_the_tasks_own(spec):
    if inside.fault(spec):
        return
    with tempfile.TemporaryDirectory() as directory:
        root = os.path.realpath(directory)
        places = Places(*(f"{root}/{name}" for name in ("input", "output", "temp", "resource")))
        for place in places:
            os.mkdir(place)
        folders = Folders(inside.shared(spec), places)
        folders.make()
        bound = [bind.path for bind in folders.binds()]
        assert len(set(bound)) == len(bound)
        assert not inside.SYSTEM.intersection(bound)
        assert all(_under(root, bind.source) for bind in folders.binds())
        for path in bound:  # an engine would have to make a folder inside a file, or hide one bind by another
            assert not any(other != path and inside.below(path, other) for other in bound)
        files = [m.path for m in spec.mounts if not m.directory]
        files += [path for step in spec.steps for path in (step.stdin, step.stdout) if path]
        for path in map(inside.clean, files):
            place = folders.place_for(path)
            assert _under(root, place)
            assert folders.host(path) == place
            with open(place, "w"):
                pass
        for path in (*map(inside.clean, spec.volumes), *(inside.clean(m.path) for m in spec.mounts if m.directory)):
            assert os.path.isdir(folders.host(path))


def test_links_mean_paths_in_the_container(tmp_path):
    places = Places(*(str(tmp_path / name) for name in ("input", "output", "temp", "resource")))
    for place in places:
        os.mkdir(place)
    folders = Folders(inside.shared(TaskSpec(command=("x",), container="i", volumes=("/v", "/w"))), places)
    folders.make()
    (tmp_path / "tree/v/x").write_text("x")
    aims = {
        "absolute": "/v/x", "relative": "x", "over": "../w/../v/x", "chain": "absolute", "out": "/etc/passwd",
        "up": "../../../../../../../etc/passwd", "loop": "loop", "none": "nothing", "image": "/usr/bin/env",
    }  # fmt: skip
    for name, aim in aims.items():
        os.symlink(aim, tmp_path / "tree/v" / name)
    os.symlink("/v", tmp_path / "tree/w/folder")
    found = {name: folders.resolved(f"/v/{name}") for name in aims}
    mine = str(tmp_path / "tree/v/x")
    expected = {name: mine if name in ("absolute", "relative", "over", "chain") else None for name in aims}
    assert found == expected
    assert folders.resolved("/w/folder/x") == mine
    assert sorted(folders.matches("/w/f*/[xy]")) == ["/w/folder/x"]
