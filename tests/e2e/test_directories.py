"""`longshore dir` on a real stack with a real container engine."""

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from libs.data.tests.rclone_server import S3Server
from libs.data.tests.test_s3 import with_bucket
from services.agent.tests.engine import IMAGE, make_image, start_engine

from longshore_data.stores.s3 import S3Store
from longshore_data.stores.s3_client import S3Settings

from .stacks import Said, Stack, place_for, running

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    engine = start_engine(tmp_path_factory.mktemp("engine"))
    make_image()
    try:
        with place_for("directories") as root, running(Stack(root)) as made:
            yield made
    finally:
        if engine is not None:
            engine.terminate()
            engine.wait(20)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def directory(root: Path, name: str, **files: str) -> Path:
    (root / name).mkdir()
    for path, text in files.items():
        (root / name / path).write_text(text)
    return root / name


def say(stack: Stack, *words: str) -> Said:
    return stack.say("dir", *words)


def test_a_directory_goes_there_and_back(stack: Stack, work: Path) -> None:
    case = directory(work, "case", **{"a b.txt": "one\n", "skip.tmp": "no", ".longshoreignore": "*.tmp\n"})
    (case / "large.bin").write_bytes(os.urandom(2 << 20))
    (case / "tool").write_text("#!/bin/sh\ncat 'a b.txt' large.bin | wc -c\n")
    (case / "tool").chmod(0o755)
    os.chdir(case)
    script = "pwd; ls; ./tool > count; mkdir -p deep; echo $OMP_NUM_THREADS > deep/threads; echo two >> 'a b.txt'; echo bad >&2"
    said = say(stack, "submit", "--cores", "2", "--wait", IMAGE, "sh", "-c", script)
    assert said.code == 0, said
    task = said.out.strip()
    assert say(stack, "status").out == "succeeded\n"
    assert say(stack, "logs").out == "/rundir\na b.txt\nlarge.bin\ntool\n"
    assert say(stack, "logs", "--stderr").out == "bad\n"
    got = say(stack, "get", "--json")
    assert got.code == 0, got
    assert (json.loads(got.out)["new"], json.loads(got.out)["here"]) == (3, 0)
    assert ((case / "count").read_text(), (case / "deep/threads").read_text()) == (f"{4 + (2 << 20)}\n", "2\n")
    assert (case / "a b.txt").read_text() == "one\ntwo\n"
    os.chdir(case / "deep")
    assert json.loads(say(stack, "get", "--json").out)["new"] == 0
    assert json.loads(say(stack, "status", "--json").out)["task"] == task
    again = say(stack, "submit", "-C", str(case), IMAGE, "sh", "-c", script)
    assert (again.code, again.out.strip()) == (0, task)
    assert say(stack, "prune", "--downloaded-only", "--yes").code == 0
    assert not [path for path in (stack.root / "directories").rglob("*") if path.is_file()]
    assert say(stack, "status").code == 1


def test_many_directories_have_an_outcome_each(stack: Stack, work: Path) -> None:
    for k in range(6):
        directory(work, f"case-{k}", n=f"{k}\n")
    (work / "case-file").write_text("no directory")
    (work / "case-5/dangling").symlink_to("nothing-there")
    words = ("submit", "--batch", "case-*", "-b", "many", IMAGE, "sh", "-c", "read n < n; echo $n > out; exit $n")
    said = say(stack, *words)
    assert said.code == 1
    assert "case-5: dangling is a link to nowhere" in said.err
    assert sorted(line.split("\t")[1] for line in said.out.splitlines()) == [f"case-{k}" for k in range(5)]
    (work / "case-5/dangling").unlink()
    said = say(stack, *words)
    assert said.code == 0, said
    assert "1 submitted, 5 submitted before, 0 not submitted" in said.err
    stack.until(lambda: json.loads(stack.ok("batch", "show", "many", "--json"))["ended_at"])
    rows = {
        row[2]: row[1]
        for row in (line.split("\t") for line in say(stack, "status", "--batch", "case-*").out.splitlines())
    }
    assert rows == {"case-0": "succeeded", **{f"case-{k}": "failed" for k in range(1, 6)}}
    got = say(stack, "get", "--batch", "case-*")
    assert got.code == 0, got
    assert [(work / f"case-{k}/out").read_text() for k in range(6)] == [f"{k}\n" for k in range(6)]
    listed = [json.loads(line) for line in say(stack, "list", "--json").out.splitlines()]
    assert [one["exit_code"] for one in listed] == list(range(6))
    assert say(stack, "retry", "case-0").code == 1
    assert say(stack, "retry", "case-1").code == 0
    assert say(stack, "prune", "--yes", "--batch", "case-*").code in (0, 1)


def test_what_runs_can_be_cancelled_and_is_not_pruned(stack: Stack, work: Path) -> None:
    os.chdir(directory(work, "long", x="x"))
    said = say(stack, "submit", IMAGE, "sh", "-c", "echo early > early; sleep 60")
    assert said.code == 0, said
    stack.until(lambda: say(stack, "status").out.startswith("running"))
    refused = say(stack, "prune", "--yes")
    assert (refused.code, "running and would fail" in refused.err) == (1, True)
    early = say(stack, "get")
    assert (early.code, "there once it has ended" in early.err) == (1, True)
    assert say(stack, "cancel").code == 0
    stack.until(lambda: say(stack, "status").out.startswith("cancelled"))
    assert say(stack, "cancel").code == 1
    assert say(stack, "prune", "--yes").code == 0


def test_over_http_alone_it_is_the_same(stack: Stack, work: Path) -> None:
    alone = Stack(stack.root)
    alone.environ = stack.environ | {"LONGSHORE_HTTP": "1"}
    os.chdir(directory(work, "far", x="abc"))
    said = say(alone, "submit", "--env", "WORD=a b", IMAGE, "sh", "-c", "sleep 1; echo $WORD $(cat x) > y")
    assert said.code == 0, said
    got = say(alone, "get", "--wait", "--json")
    assert got.code == 0, got
    assert (work / "far/y").read_text() == "a b abc\n"
    assert (say(alone, "prune", "--older-than", "1h", "--yes").err, say(alone, "status").out) == (
        "longshore: there is nothing to remove\n", "succeeded\n",
    )  # fmt: skip
    assert say(alone, "prune", "--older-than", "0s", "--yes").code == 0


def test_results_are_those_of_the_last_attempt(stack: Stack, work: Path) -> None:
    os.chdir(directory(work, "twice", x="x"))
    script = "case $LONGSHORE_ATTEMPT in *.1) echo a > old; exit 1;; esac; echo b > new"
    said = say(stack, "submit", "--retry", "1", "--wait", IMAGE, "sh", "-c", script)
    assert said.code == 0, said
    got = json.loads(say(stack, "get", "--json").out)
    assert (got["new"], got["earlier"]) == (1, 1)
    assert sorted(path.name for path in Path.cwd().iterdir()) == [".longshore", "new", "x"]
    assert say(stack, "prune", "--downloaded-only", "--yes").code == 0


def test_what_waits_says_for_what(stack: Stack, work: Path) -> None:
    os.chdir(directory(work, "greedy", x="x"))
    assert say(stack, "submit", "--cores", "999", IMAGE, "true").code == 0
    stack.until(lambda: say(stack, "status").out.startswith("queued: "))
    assert "999" in say(stack, "status").out
    assert say(stack, "cancel").code == 0


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("submit", "--batch", "none-*", IMAGE, "true"), 2, "names no directory"),
        (("status",), 1, "was submitted"),
        (("get", "-C", "nowhere"), 1, "not submitted"),
        (("submit", "--max-size", "1", IMAGE, "true"), 1, "--max-size"),
        (("submit", "--to", "https://host/x/", IMAGE, "true"), 2, "https"),
        (("prune",), 1, "was submitted"),
    ],
)
def test_misuse_names_the_fix(stack: Stack, work: Path, words: tuple[str, ...], code: int, text: str) -> None:
    (work / "x").write_text("xx")
    said = say(stack, *words)
    assert said.code == code, said
    assert text in said.err


def test_without_a_place_the_fix_is_named(stack: Stack, work: Path) -> None:
    elsewhere = Stack(work)
    shutil.copy(stack.root / "client.json", work / "client.json")
    said = elsewhere.say("dir", "submit", IMAGE, "true")
    assert (said.code, "LONGSHORE_DIR_STORE" in said.err) == (2, True)


def test_a_dry_run_lists_and_sends_nothing(stack: Stack, work: Path) -> None:
    (work / "x").write_text("xx")
    nowhere = Stack(work)  # nor does it need a stack
    said = say(nowhere, "submit", "-n", IMAGE, "true")
    assert (said.code, said.out) == (0, "2\tx\n")
    assert not (work / ".longshore").exists()


@pytest.fixture
def far(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own whose workers have a bucket, on a real S3 server."""
    server = S3Server(tmp_path_factory.mktemp("s3") / "s3").start()
    try:
        asyncio.run(with_a_bucket(server))
        with place_for("far") as root:
            made = Stack(root)
            made.environ |= {**server.environ, "LONGSHORE_DIR_STORE": "s3://bucket/lab/"}
            with running(made):
                yield made
    finally:
        server.stop()


async def with_a_bucket(server: S3Server) -> None:
    store = S3Store(S3Settings.from_environ(server.environ))
    await with_bucket(store, "bucket")
    await store.close()


def test_by_way_of_a_bucket_it_is_the_same(far: Stack, work: Path) -> None:
    reference = work / "reference.bin"
    reference.write_bytes(os.urandom(3 << 20))
    for k in range(2):
        case = directory(work, f"case-{k}", **{"a é.txt": str(k)})
        (case / "ref").symlink_to(reference)
        (case / "tool").write_text("#!/bin/sh\ncat ref 'a é.txt' | wc -c > 'out é'\n")
        (case / "tool").chmod(0o755)
    said = say(far, "submit", "--batch", "case-*", IMAGE, "./tool")
    assert (said.code, "3.0M there already" in said.err) == (0, True), said
    got = say(far, "get", "--wait", "--batch", "case-*", "--json")
    assert got.code == 0, got
    assert [json.loads(line)["new"] for line in got.out.splitlines()] == [1, 1]
    assert [(work / f"case-{k}/out é").read_text() for k in range(2)] == [f"{(3 << 20) + 1}\n"] * 2
    assert say(far, "prune", "--downloaded-only", "--yes", "--batch", "case-*").code == 0
    assert far.ok("data", "list", "-r", "s3://bucket/lab/") == ""
