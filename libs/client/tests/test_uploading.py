"""`submit --upload`: local files into a real S3 server, once by content; read back by the URI that the task gets."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from longshore.uploading import Store, upload
from longshore_common.errors import BadInput

LONGSHORE = str(Path(sys.executable).parent / "longshore")
STORE = "file://{}/store/"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a b.fq").write_text("aaaa")
    (tmp_path / "run/deep").mkdir()
    (tmp_path / "run/deep/é").write_text("é")
    (tmp_path / "one.txt").write_text("one")
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def stored(folder: Path, uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def test_what_is_there_already_is_not_sent_again(folder: Path) -> None:
    store = Store(STORE.format(folder), "b1")
    first = upload(["one.txt", "run", "s3://other/x"], store, {})
    assert (first.sent, first.known) == (3, 0)
    assert stored(folder, first.uris["one.txt"]).read_text() == "one"
    assert (stored(folder, first.uris["run"]) / "deep/é").read_text() == "é"
    assert first.uris["run"].endswith("/")
    assert "/.longshore/inputs/" in first.uris["run"]
    (folder / "copy").mkdir()
    (folder / "copy/one.txt").write_text("one")
    again = upload(["copy/one.txt", "run/"], store, {})
    assert (again.sent, again.known) == (0, 3)
    assert again.uris["copy/one.txt"] == first.uris["one.txt"]
    assert again.uris["run/"] == first.uris["run"]


def test_other_bytes_have_another_place(folder: Path) -> None:
    store = Store(STORE.format(folder), "b1")
    first = upload(["one.txt", "run"], store, {})
    (folder / "one.txt").write_text("two")
    (folder / "run/deep/é").write_text("e")
    second = upload(["one.txt", "run"], store, {})
    assert not set(first.uris.values()) & set(second.uris.values())
    assert stored(folder, first.uris["one.txt"]).read_text() == "one"


def test_batches_do_not_share(folder: Path) -> None:
    one, other = (upload(["one.txt"], Store(STORE.format(folder), batch), {}) for batch in ("b1", "b2"))
    assert (one.sent, other.sent) == (1, 1)
    assert one.uris != other.uris


def test_dry_sends_nothing_and_says_where(folder: Path) -> None:
    store = Store(STORE.format(folder), "b1")
    said = upload(["one.txt"], store, {}, dry=True)
    assert not (folder / "store").exists()
    assert said.uris == upload(["one.txt"], store, {}).uris


@pytest.mark.parametrize(
    ("words", "store", "fix"),
    [
        (["one.txt"], "", "set LONGSHORE_STORE"),
        (["nope"], "file:///tmp/x/", "No such file"),
        (["empty"], "file:///tmp/x/", "holds no files"),
        (["one.txt"], "https://host/x/", "https"),
    ],
)
def test_misuse_names_the_fix(folder: Path, words: list[str], store: str, fix: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(BadInput, match=fix):
        upload(words, Store(store), {})


def test_submit_names_the_uploaded_place_in_the_task(folder: Path) -> None:
    environ = {**os.environ, "LONGSHORE_STORE": STORE.format(folder), "LONGSHORE_STATE_DIR": str(folder / "none")}
    words = [LONGSHORE, "submit", "--test", "--upload", "-i", "one.txt", "-r", "run", "-i", "s3://b/k", "true"]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=True)
    spec = json.loads(done.stdout)["body"]["spec"]
    assert spec["inputs"][1] == "s3://b/k"
    assert spec["inputs"][0].endswith("/one.txt")
    assert spec["resources"][0].endswith("/")
    assert "0 files uploaded" in done.stderr
