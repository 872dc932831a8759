"""Tasks of several steps in a real engine: what their containers share, what is mounted and collected, and how they end."""

import os

import pytest

from longshore_common import events as e
from longshore_common.model import Collect, Mount, Step
from longshore_common.testing.waiting import until

from .engine import IMAGE, engine_image  # noqa: F401

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("engine_image")]


async def start(yard, **options):
    return await yard.start_agent(docker=dict(os.environ), **options)


def sh(script, **fields):
    return Step(command=("sh", "-c", script), container=IMAGE, **fields)


async def assign(yard, *steps, **fields):
    (name,) = await yard.assign(*steps[0].command, container=IMAGE, steps=steps, **fields)
    return name


async def granted(yard, name, seconds=60):
    """Its end, with leave to publish as soon as it asks."""

    def asked():
        return yard.ends(name) or [d for r in yard.events(e.AttemptsReported) for d in r.delivered if d.attempt == name]

    await until(asked, seconds)
    await yard.signal("publish", name)
    return await yard.ended(name, seconds)


async def test_steps_run_one_after_the_other_with_what_they_say_in_one_output(yard):
    await start(yard)
    name = await assign(yard, sh("echo one; echo e1 >&2; echo $LONGSHORE_STEP"), sh("echo two", env={"A": "x"}))
    end = await yard.ended(name, 60)
    assert (end.outcome, end.exit_code, end.stdout.tail, end.stderr.tail) == ("succeeded", 0, "one\n1\ntwo\n", "e1\n")
    assert [(s.exit_code, s.stdout, s.stderr, s.cause) for s in end.steps] == [(0, 6, 3, None), (0, 4, 0, None)]
    assert end.steps[0].started_at <= end.steps[0].ended_at <= end.steps[1].started_at <= end.steps[1].ended_at
    assert end.usage.started_at == end.steps[0].started_at


async def test_a_step_that_fails_is_the_last_unless_its_error_is_ignored(yard):
    await start(yard)
    failing = await assign(yard, sh("exit 3"), sh("echo no"))
    going_on = await assign(yard, sh("exit 3", ignore_error=True), sh("echo yes"))
    end = await yard.ended(failing, 60)
    assert (end.outcome, end.cause, end.exit_code, len(end.steps)) == ("failed", "exit", 3, 1)
    assert end.reason == "step 1 of 2: exit code 3"
    end = await yard.ended(going_on, 60)
    assert (end.outcome, end.exit_code, end.stdout.tail) == ("succeeded", 0, "yes\n")
    assert [s.exit_code for s in end.steps] == [3, 0]


async def test_volumes_are_empty_and_shared_and_tmp_is_each_steps_own(yard):
    await start(yard)
    first = sh("ls -a /shared /tmp; echo x > /shared/a; echo y > /tmp/b")
    name = await assign(yard, first, sh("cat /shared/a; ls /tmp; pwd", workdir="/shared/deep"), volumes=("/shared",))
    end = await yard.ended(name, 60)
    assert end.outcome == "succeeded", end
    assert end.stdout.tail == "/shared:\n.\n..\ndeep\n\n/tmp:\n.\n..\nx\n/shared/deep\n"


async def test_stdin_stdout_and_stderr_are_files_that_later_steps_find(yard, tmp_path):
    await start(yard)
    (tmp_path / "words").write_text("b\na\n" * 100_000)
    mounts = (Mount(uri=f"file://{tmp_path}/words", path="/words"),)
    first = sh("cat; echo seen >&2", stdin="/words", stdout="/tmp/out/copy", stderr="/log")
    second = Step(command=("wc", "-l"), container=IMAGE, stdin="/tmp/out/copy", stdout="/count")
    name = await assign(yard, first, second, sh("cat /count /log"), mounts=mounts)
    end = await yard.ended(name, 60)
    assert end.outcome == "succeeded", end
    assert end.steps[0].stdout == 400_000
    assert end.stdout.tail.endswith("b\na\n200000\n200000\nseen\n")


async def test_a_stdin_that_is_not_there_is_told(yard):
    await start(yard)
    name = await assign(yard, sh("cat", stdin="/tmp/x"))
    end = await yard.ended(name, 60)
    assert (end.outcome, end.cause) == ("failed", "launch")
    assert "stdin" in end.reason


async def test_mounts_are_private_writable_and_at_their_paths(yard, tmp_path):
    await start(yard)
    (tmp_path / "f").write_text("file\n")
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "x").write_text("below\n")
    mounts = (
        Mount(uri=f"file://{tmp_path}/f", path="/data/named"),
        Mount(uri=f"file://{tmp_path}/f", path="/etc/settings"),
        Mount(uri=f"file://{tmp_path}/d", path="/data/tree", directory=True),
        Mount(uri=f"file://{tmp_path}/f", path="/input/also"),
        Mount(uri=f"file://{tmp_path}/f", path="/tmp/here"),
    )
    script = "cat /data/named /data/tree/sub/x /etc/settings /input/also /tmp/here; cat /etc/passwd | head -c 4; "
    script += "echo more >> /data/named; echo more >> /data/tree/sub/x; rm /input/also; touch /data/tree/sub/y"
    name = await assign(yard, sh(script), sh("cat /data/named; ls /data/tree/sub"), mounts=mounts)
    end = await yard.ended(name, 60)
    assert (end.outcome, end.stderr.tail) == ("succeeded", "")
    assert end.stdout.tail == "file\nbelow\nfile\nfile\nfile\nrootfile\nmore\nx\ny\n"
    assert (tmp_path / "f").read_text() == "file\n"
    assert (tmp_path / "d" / "sub" / "x").read_text() == "below\n"


async def test_collects_are_uploaded_with_leave_and_missing_ones_passed_over(yard, tmp_path):
    await start(yard)
    out = f"file://{tmp_path}/out"
    collects = (
        Collect(path="/res/one.txt", uri=f"{out}/1.txt"),
        Collect(path="/res/none.txt", uri=f"{out}/none.txt"),
        Collect(path="/res/dir", uri=f"{out}/dir", directory=True),
        Collect(path="/res/*.log", uri=f"{out}/logs/", prefix="/res"),
        Collect(path="/alone", uri=f"{out}/alone"),
        Collect(path="/untouched", uri=f"{out}/untouched"),
        Collect(path="/tmp/t", uri=f"{out}/t"),
        Collect(path="/output/o", uri=f"{out}/o"),
        Collect(path="/said", uri=f"{out}/said"),
    )
    script = "mkdir -p /res/dir/deep; echo 1 > /res/one.txt; echo d > /res/dir/deep/x; echo l > /res/a.log; "
    script += (
        "echo l > /res/b.log; echo c > /res/c.txt; echo alone > /alone; echo t > /tmp/t; echo o > /output/o; echo said"
    )
    name = await assign(yard, sh(script, stdout="/said"), sh("cat /res/one.txt"), collects=collects)
    await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered], 60)
    assert not (tmp_path / "out").exists()
    end = await granted(yard, name)
    assert end.outcome == "succeeded", end
    found = {str(p.relative_to(tmp_path / "out")): p.read_text() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == {
        "1.txt": "1\n", "dir/deep/x": "d\n", "logs/a.log": "l\n", "logs/b.log": "l\n", "alone": "alone\n", "t": "t\n",
        "o": "o\n", "said": "said\n",
    }  # fmt: skip
    assert end.files == 8
    assert end.usage.delivered_bytes == sum(len(text) for text in found.values())
    assert {(c.path, c.uri, c.size) for c in end.collected} >= {("/res/one.txt", f"{out}/1.txt", 2)}


async def test_collects_are_uploaded_after_a_failure_too(yard, tmp_path):
    await start(yard)
    collects = (Collect(path="/res/one", uri=f"file://{tmp_path}/one"),)
    name = await assign(yard, sh("echo 1 > /res/one; exit 4"), sh("true"), collects=collects)
    end = await yard.ended(name, 60)
    assert (end.outcome, end.exit_code, end.files) == ("failed", 4, 1)
    assert (tmp_path / "one").read_text() == "1\n"


async def test_what_is_still_as_it_was_staged_may_be_left_out(yard, tmp_path):
    await start(yard)
    (tmp_path / "d").mkdir()
    for name in ("same", "changed"):
        (tmp_path / "d" / name).write_text(name)
    mounts = (Mount(uri=f"file://{tmp_path}/d/", path="/rundir", directory=True),)
    collects = (Collect(path="/rundir", uri=f"file://{tmp_path}/new/", directory=True, new=True),)
    script = "echo x >> changed; echo made > made; pwd"
    name = await assign(yard, sh(script, workdir="/rundir"), mounts=mounts, collects=collects)
    end = await granted(yard, name)
    assert (end.outcome, end.stdout.tail) == ("succeeded", "/rundir\n")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["changed", "made"]


async def test_links_that_lead_out_of_what_is_shared_are_not_followed(yard, tmp_path):
    await start(yard)
    (tmp_path / "secret").write_text("secret")
    target = tmp_path / "host-file"
    target.write_text("host")
    collects = (
        Collect(path="/res/link", uri=f"file://{tmp_path}/got"),
        Collect(path="/res/up/secret", uri=f"file://{tmp_path}/got2"),
        Collect(path="/res/fine", uri=f"file://{tmp_path}/fine"),
    )
    script = (
        f"ln -s {tmp_path}/secret /res/link; rm -r /res/up; ln -s ../../../../..{tmp_path} /res/up; echo ok > /res/x; "
    )
    script += f"ln -s /res/x /res/fine; ln -s {target} /res/log"
    spoilt = await assign(yard, sh(script), sh("echo spoilt", stdout="/res/log"), collects=collects)
    end = await yard.ended(spoilt, 60)
    assert end.outcome == "failed"
    assert target.read_text() == "host"
    assert not (tmp_path / "got").exists()
    assert not (tmp_path / "got2").exists()
    assert (tmp_path / "fine").read_text() == "ok\n"
