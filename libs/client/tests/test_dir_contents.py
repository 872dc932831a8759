"""What of a directory is sent: ignore files, the size guard, links; and what its marker survives."""

import os
from pathlib import Path

import pytest

from longshore.dir import ignoring
from longshore.dir.contents import Guard, look
from longshore.dir.ignoring import Ignore, of, rules
from longshore.dir.marker import Home, Marker, below, find
from longshore_common.errors import BadInput, Conflict, NotFound, Refused


def paths(directory: Path) -> list[str]:
    return [leaf.path for leaf in look(directory, of(directory), Guard()).leaves]


@pytest.mark.parametrize(
    ("lines", "left_out", "sent"),
    [
        (["*.tmp"], ["a.tmp", "deep/er/b.tmp"], ["a.tmpx", "tmp"]),
        (["/out"], ["out"], ["deep/out"]),
        (["*.log", "!keep.log"], ["a.log"], ["keep.log", "deep/keep.log"]),
        (["!keep.log", "*.log"], ["keep.log"], []),
        (["# note", "", "  ", "a b.txt  "], ["a b.txt"], ["# note"]),
        (["\\#odd"], ["#odd"], ["odd"]),
        (["data/**/x"], ["data/x", "data/1/2/x"], ["x"]),
        (["{a,b}[0-9].txt"], ["a1.txt", "b2.txt"], ["c1.txt"]),
        (["cr.txt\r\n"], ["cr.txt"], []),
    ],
)
def test_the_last_line_that_fits_decides(lines, left_out, sent):
    ignore = Ignore(rules(lines))
    assert [path for path in left_out if not ignore.skips(path, folder=False)] == []
    assert [path for path in sent if ignore.skips(path, folder=False)] == []


def test_a_line_with_a_slash_at_its_end_means_folders():
    ignore = Ignore(rules(["cache/"]))
    assert ignore.skips("deep/cache", folder=True)
    assert not ignore.skips("cache", folder=False)


def test_of_a_folder_that_is_left_out_nothing_is_sent(tmp_path):
    for name in ("cache/a", "src/cache/b", "src/c", ".git/HEAD", "pkg/__pycache__/d.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".longshoreignore").write_text("cache/\n")
    assert paths(tmp_path) == ["pkg", "src/c"]


def test_an_ignore_file_above_counts_where_there_is_none(tmp_path):
    (tmp_path / "case-1").mkdir()
    (tmp_path / "case-1/a.tmp").touch()
    (tmp_path / ".longshoreignore").write_text("*.tmp\n")
    assert paths(tmp_path / "case-1") == []
    (tmp_path / "case-1/.longshoreignore").write_text("\n")
    assert paths(tmp_path / "case-1") == ["a.tmp"]


def test_a_line_that_means_too_much_is_named(tmp_path):
    (tmp_path / ignoring.FILE).write_text("ok\n" + "{a,b}" * 12 + "\n")
    with pytest.raises(BadInput, match="line 2"):
        of(tmp_path)


def test_empty_folders_links_and_modes_are_seen(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/empty").mkdir()
    (tmp_path / "run/tool").write_text("#!/bin/sh")
    (tmp_path / "run/tool").chmod(0o755)
    (tmp_path / "run/near").symlink_to("tool")
    (tmp_path / "run/folder").symlink_to("empty")
    (tmp_path / "reference").write_text("acgt")
    (tmp_path / "run/ref").symlink_to(tmp_path / "reference")
    os.mkfifo(tmp_path / "run/pipe")
    found = look(tmp_path / "run", Ignore([]), Guard())
    assert {leaf.path: (leaf.link, leaf.folder, leaf.executable) for leaf in found.leaves} == {
        "empty": ("", True, False),
        "folder": ("empty", False, False),
        "near": ("tool", False, False),
        "ref": ("", False, False),
        "tool": ("", False, True),
    }
    assert next(leaf for leaf in found.leaves if leaf.path == "ref").size == 4
    assert found.special == ("pipe",)


@pytest.mark.parametrize(
    ("target", "fix"), [("nowhere/at/all", "link to nowhere"), ("/etc", "link to a folder outside")]
)
def test_links_that_cannot_be_sent_are_named(tmp_path, target, fix):
    (tmp_path / "l").symlink_to(target)
    with pytest.raises(BadInput, match=f"^l is a {fix}"):
        look(tmp_path, Ignore([]), Guard())


def test_more_than_was_meant_is_refused_and_the_largest_are_named(tmp_path):
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "big.bin").write_bytes(b"x" * 3000)
    with pytest.raises(Refused, match=r"big\.bin \(2\.9K\).*\.longshoreignore.*--max-size"):
        look(tmp_path, Ignore([]), Guard(size=3000))
    with pytest.raises(Refused, match="--max-files"):
        look(tmp_path, Ignore([]), Guard(files=1))


def test_names_that_no_storage_can_hold_are_refused(tmp_path):
    (tmp_path / "a\nb").touch()
    with pytest.raises(BadInput, match="line end"):
        look(tmp_path, Ignore([]), Guard())
    (tmp_path / "a\nb").unlink()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
    with pytest.raises(BadInput, match="UTF-8"):
        look(tmp_path, Ignore([]), Guard())


def marker(**more) -> Marker:
    return Marker(**{"key": "k", "place": "file:///s/ada/directories/k/", "user": "ada", **more})


def test_a_marker_is_found_from_below_as_git_finds_its_own(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    home = Home(tmp_path)
    assert home.read() is None
    with pytest.raises(NotFound, match="dir submit"):
        home.known()
    home.write(marker(task="7.0"))
    assert find(tmp_path / "a/b").known().task == "7.0"
    assert [one.path for one in below(tmp_path)] == [tmp_path]
    home.retire(marker(task="7.0"))
    assert (home.read(), home.retired()) == (None, True)
    with pytest.raises(NotFound, match="above"):
        find(tmp_path / "a/b")


def test_a_cut_off_submission_is_no_task_yet(tmp_path):
    home = Home(tmp_path)
    home.write(marker())
    with pytest.raises(NotFound, match="repeat"):
        home.known()


def test_two_at_a_time_are_refused(tmp_path):
    with Home(tmp_path).locked(), pytest.raises(Conflict, match="works on it now"), Home(tmp_path).locked():
        pass


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [("{", BadInput, "damaged"), ('{"format": 2, "key": "k", "place": "p", "user": "u"}', Refused, "upgrade")],
)
def test_a_marker_that_cannot_be_read_is_told(tmp_path, text, kind, why):
    (tmp_path / ".longshore").mkdir()
    (tmp_path / ".longshore/task.json").write_text(text)
    with pytest.raises(kind, match=why):
        Home(tmp_path).read()
