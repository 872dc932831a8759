"""`longshore data` as a user types it: real processes, a real disk, a real terminal for what is shown on one."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

LONGSHORE = str(Path(sys.executable).parent / "longshore")


class Shell:
    """A folder with files, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
        for name, text in {"src/a.txt": "aa", "src/deep/b c.bam": "bbbb", "src/deep/é.txt": "é"}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def data(self, *words: str, code: int = 0, said: str = "") -> str:
        done = subprocess.run(
            [LONGSHORE, "data", *words], cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def files(self, folder: str) -> list[str]:
        return sorted(
            str(p.relative_to(self.folder / folder)) for p in (self.folder / folder).rglob("*") if p.is_file()
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_copy_says_each_file_and_the_sum(shell: Shell) -> None:
    out = shell.data("copy", "src", "there/", said="3 of 3 files copied, 8 B")
    assert len(out.splitlines()) == 3
    assert shell.files("there") == ["a.txt", "deep/b c.bam", "deep/é.txt"]
    assert shell.data("copy", "-q", "src/a.txt", "other") == ""
    assert (shell.folder / "other").read_text() == "aa"


def test_a_dry_run_is_dry(shell: Shell) -> None:
    assert "would copy" in shell.data("copy", "--dry-run", "src", "there/")
    assert "would copy" in shell.data("sync", "-n", "--delete", "src", "there/")
    assert "would delete" in shell.data("delete", "-n", "src/")
    assert not (shell.folder / "there").exists()
    assert len(shell.files("src")) == 3


def test_sync_deletes_only_when_told_to(shell: Shell) -> None:
    shell.data("sync", "src", "there")
    (shell.folder / "there" / "extra").write_text("x")
    shell.data("sync", "src", "there", said="0 of 0 files")
    assert "extra" in shell.files("there")
    shell.data("sync", "--delete", "src", "there", said="1 file deleted")
    assert shell.files("there") == shell.files("src")


def test_delete_asks_and_without_anybody_to_ask_refuses(shell: Shell) -> None:
    shell.data("delete", "src/", code=2, said="Give --yes")
    shell.data("delete", "--yes", "src/", "--include", "*.txt", said="2 files deleted")
    assert shell.files("src") == ["deep/b c.bam"]
    shell.data("delete", "--yes", "src/deep/b c.bam")
    assert shell.files("src") == []
    shell.data("delete", "--yes", "nothing/", code=1, said="No such file")


def test_list_and_du_are_for_people_and_for_programs(shell: Shell) -> None:
    assert [line.split("\t")[::2] for line in shell.data("list", "src").splitlines()] == [
        ["2", "a.txt"],
        ["6", "deep/"],
    ]
    every = [json.loads(line) for line in shell.data("list", "-r", "--json", "src").splitlines()]
    assert [(e["path"], e["size"]) for e in every] == [("a.txt", 2), ("deep/b c.bam", 4), ("deep/é.txt", 2)]
    assert json.loads(shell.data("du", "--json", "src"))["bytes"] == 8


def test_actions_are_done_on_the_way(shell: Shell) -> None:
    subprocess.run(["tar", "czf", "all.tgz", "src"], cwd=shell.folder, check=True)
    told = shell.data("copy", "all.tgz|untar|glob:*.txt", "there/").splitlines()
    what = f"file://{shell.folder}/all.tgz|untar|glob:*.txt"
    assert f"{what} src/a.txt -> file://{shell.folder}/there/src/a.txt" in told
    assert shell.files("there") == ["src/a.txt", "src/deep/é.txt"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["copy", "src"], 2, "the target last"),
        (["copy", "src", "there"], 2, "end the target in /"),
        (["copy", "src/nope", "there/"], 1, "No such file"),
        (["copy", "x://a/b", "there/"], 2, "longshore remote share"),
        (["copy", "s3://b/k", "there/", "--bandwidth", "fast"], 2, "is no size"),
        (["list", "--config", "nope", "src"], 2, "there is no such file"),
        (["copy", "src", "https://host/there/"], 2, "https"),
    ],
)
def test_misuse_names_the_fix(shell: Shell, words: list[str], code: int, said: str) -> None:
    shell.data(*words, code=code, said=said)


@pytest.mark.slow
def test_storage_that_is_away_is_exit_code_3(shell: Shell) -> None:
    shell.environ |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    shell.data("list", "s3://bucket/x/", code=3, said="a retry may help")


def test_a_terminal_sees_a_bar(shell: Shell) -> None:
    (shell.folder / "big").write_bytes(bytes(40_000_000))
    controller, terminal = pty.openpty()
    words = [LONGSHORE, "data", "copy", "--bandwidth", "30M", "big", "there/"]
    running = subprocess.Popen(
        words, cwd=shell.folder, env={**shell.environ, "TERM": "xterm"}, stderr=terminal, stdout=subprocess.DEVNULL
    )
    os.close(terminal)
    seen = b""
    while True:
        try:
            piece = os.read(controller, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(controller)
    assert running.wait(30) == 0
    assert b"MB/s" in seen or b"MiB" in seen
