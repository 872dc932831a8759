"""The commands of Slurm on a real stack: batch scripts, arrays, files, states, dependencies, and how long a command takes."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from longshore import once
from longshore_common.testing.places import reachable
from longshore_slurm import submission
from longshore_slurm.door import Door
from longshore_slurm.options import read
from longshore_slurm.sbatch_options import SBATCH
from longshore_slurm.submission import Script, Submitter

from .stacks import LONGSHORE, Said, Stack

pytestmark = pytest.mark.slow


class Cluster:
    """A stack with the commands, and a directory that all share."""

    def __init__(self, stack: Stack, shared: Path, programs: Path) -> None:
        self.stack, self.shared = stack, shared
        self.environ = stack.environ | {
            "PATH": f"{programs}:{LONGSHORE.parent}:{os.environ['PATH']}",
            "HOME": str(shared),
        }

    def say(self, *words: str, stdin: str = "", within: float = 60, **environ: str) -> Said:
        done = subprocess.run(
            words,
            env=self.environ | environ,
            cwd=self.shared,
            capture_output=True,
            text=True,
            timeout=within,
            input=stdin,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, stdin: str = "") -> str:
        said = self.say(*words, stdin=stdin)
        assert said.code == 0, said
        return said.out

    def script(self, name: str, text: str) -> str:
        (self.shared / name).write_text(f"#!/bin/bash\n{text}")
        return name

    def submit(self, *words: str) -> str:
        return self.ok("sbatch", "--parsable", *words).strip()

    def state(self, job: str) -> str:
        return self.ok("sacct", "-Xn", "-P", "-o", "State", "-j", job).strip()

    def until(self, job: str, state: str) -> None:
        self.stack.until(lambda: self.state(job) == state)

    def read(self, name: str) -> str:
        return (self.shared / name).read_text()


@pytest.fixture(scope="module")
def cluster(stack, tmp_path_factory) -> Cluster:
    shared = tmp_path_factory.mktemp("shared")
    stack.ok("slurm-shim", "install", str(shared / "bin"))
    return Cluster(stack, shared, shared / "bin")


def test_a_batch_script_runs_where_it_was_submitted_and_writes_there(cluster):
    script = cluster.script(
        "one.sh", "#SBATCH --job-name=first -c 1\npwd; echo $SLURM_JOB_NAME $SLURM_CPUS_PER_TASK $1\n"
    )
    said = cluster.ok("sbatch", "--wait", script, "word")
    number = said.split()[-1]
    assert said == f"Submitted batch job {number}\n"
    assert cluster.read(f"slurm-{number}.out") == f"{cluster.shared}\nfirst 1 word\n"
    assert cluster.state(number) == "COMPLETED"
    assert cluster.ok("sacct", "-n", "-X", "--format=jobid%8,jobname%6,exitcode", "-j", number).split() == [
        number,
        "first",
        "0:0",
    ]


def test_waiting_returns_the_jobs_own_code(cluster):
    assert cluster.say("sbatch", "-W", "--wrap", "exit 7").code == 7
    assert cluster.say("sbatch", "-W", "-Q", "--array=0-3", "--wrap", "exit $SLURM_ARRAY_TASK_ID").code == 3


def test_an_array_has_its_elements_and_their_files(cluster):
    number = cluster.submit(
        "-W", "--array=3-7:2", "-J", "arr", "-o", "%x_%A_%a.txt", "--wrap", "echo $SLURM_ARRAY_TASK_ID"
    )
    assert [cluster.read(f"arr_{number}_{k}.txt") for k in (3, 5, 7)] == ["3\n", "5\n", "7\n"]
    listed = cluster.submit(
        "-W", "--array=2,9", "-o", "l_%a.txt", "--wrap", "echo $SLURM_ARRAY_TASK_ID $SLURM_ARRAY_TASK_MAX"
    )
    assert [cluster.read(f"l_{k}.txt") for k in (2, 9)] == ["2 9\n", "9 9\n"]
    assert cluster.ok("sacct", "-Xn", "-P", "-o", "JobID,State", "-j", f"{listed}_9") == f"{listed}_9|COMPLETED\n"
    raw = cluster.ok("sacct", "-Xn", "-P", "-o", "JobIDRaw", "-j", f"{listed}_9").strip()
    assert cluster.ok("sacct", "-Xn", "-P", "-o", "JobID", "-j", raw).strip() == f"{listed}_9"


def test_a_job_is_seen_cancelled_and_held(cluster):
    number = cluster.submit("-J", "sleeper", "--wrap", "sleep 300")
    cluster.stack.until(lambda: cluster.ok("squeue", "-h", "-o", "%i %t %j", "-j", number) == f"{number} R sleeper\n")
    assert cluster.ok("squeue", "-h", "-n", "sleeper", "-o", "%i|%T") == f"{number}|RUNNING\n"
    shown = cluster.ok("scontrol", "show", "job", number)
    assert f"JobId={number}" in shown
    assert "JobState=RUNNING" in shown
    assert f"StdOut={cluster.shared}/slurm-{number}.out" in shown
    cluster.ok("scancel", number)
    cluster.until(number, "CANCELLED")
    assert cluster.ok("squeue", "-h", "-j", f"{number},1") == ""
    assert cluster.ok("squeue", "-h", "-t", "all", "-o", "%t", "-j", number) == "CA\n"
    held = cluster.submit("--hold", "--wrap", "true")
    assert cluster.ok("squeue", "-h", "-o", "%t %r", "-j", held) == "PD JobHeldUser\n"
    cluster.ok("scontrol", "release", held)
    cluster.until(held, "COMPLETED")


def test_a_job_is_requeued_while_it_runs_and_after(cluster):
    script = cluster.script(
        "again.sh", "echo $SLURM_RESTART_COUNT >> again.txt\n[ $SLURM_RESTART_COUNT -gt 0 ] || sleep 300\n"
    )
    number = cluster.submit("-o", "/dev/null", script)
    cluster.until(number, "RUNNING")
    cluster.stack.until(lambda: (cluster.shared / "again.txt").exists())
    cluster.ok("scontrol", "requeue", number)
    cluster.until(number, "COMPLETED")
    assert cluster.read("again.txt") == "0\n1\n"
    cluster.ok("scontrol", "requeue", number)
    assert cluster.read("again.txt") == "0\n1\n"  # what succeeded does not begin again


def test_waiting_elements_are_one_line_and_can_be_cancelled_by_name(cluster):
    first = cluster.submit("-J", "never", "--array=0-99%1", "--wrap", "sleep 300")
    cluster.stack.until(lambda: "R" in cluster.ok("squeue", "-h", "-o", "%t", "-j", first).split())
    lines = cluster.ok("squeue", "-h", "-n", "never", "-o", "%i %t").splitlines()
    assert len(lines) == 2, lines
    assert any(line.startswith(f"{first}_[") and line.endswith("99] PD") for line in lines)
    assert len(cluster.ok("squeue", "-h", "-r", "-n", "never").splitlines()) == 100
    cluster.ok("scancel", f"{first}_50")
    cluster.until(f"{first}_50", "CANCELLED")
    cluster.ok("scancel", "--name", "never")
    cluster.stack.until(lambda: set(cluster.state(first).split()) == {"CANCELLED"})


def test_ends_have_slurms_names(cluster):
    late = cluster.submit("-t", "0:01", "--wrap", "sleep 60")
    broken = cluster.submit("--wrap", "exit 3")
    killed = cluster.submit("--wrap", "kill -9 $$")
    cluster.until(late, "TIMEOUT")
    cluster.until(broken, "FAILED")
    cluster.until(killed, "FAILED")
    codes = [cluster.ok("sacct", "-Xn", "-P", "-o", "ExitCode", "-j", job).strip() for job in (broken, killed)]
    assert codes == ["3:0", "0:9"]


def test_a_signal_comes_before_the_end(cluster):
    script = cluster.script("late.sh", "trap 'echo warned; exit 0' USR2\necho ready\nwhile :; do sleep 0.1; done\n")
    number = cluster.submit("-t", "0:03", "--signal=B:USR2@2", "-o", "late.txt", script)
    cluster.until(number, "TIMEOUT")
    assert cluster.read("late.txt").splitlines()[0::2] == [
        "ready",
        "warned",
    ]  # between them the shell tells of its child


def test_dependencies_order_jobs(cluster):
    first = cluster.submit("--wrap", "sleep 0.5; date +%s%N > a")
    bad = cluster.submit("--wrap", "exit 1")
    second = cluster.submit("-W", "-d", f"afterok:{first},afterany:{bad}", "--wrap", "date +%s%N > b")
    assert int(cluster.read("a")) < int(cluster.read("b"))
    assert cluster.state(second) == "COMPLETED"
    never = cluster.submit("-d", f"afterok:{bad}", "--wrap", "true")
    cluster.until(never, "CANCELLED")
    array = cluster.submit("--array=0-1", "--wrap", "exit $SLURM_ARRAY_TASK_ID")
    each = cluster.submit("--array=0-1", "-d", f"aftercorr:{array}", "--wrap", "true")
    cluster.until(f"{each}_0", "COMPLETED")
    cluster.until(f"{each}_1", "CANCELLED")
    one = cluster.submit("-J", "alone", "--wrap", "sleep 0.5; echo 1 >> alone.txt")
    cluster.submit("-W", "-J", "alone", "-d", "singleton", "--wrap", "echo 2 >> alone.txt")
    assert (cluster.read("alone.txt"), cluster.state(one)) == ("1\n2\n", "COMPLETED")


def test_a_job_submits_jobs_and_a_script_may_come_from_stdin(cluster):
    said = cluster.ok(
        "sbatch", "-W", "-o", "outer.txt", stdin="#!/bin/sh\nsbatch -W -o inner.txt --wrap 'echo inner $SLURM_JOB_ID'\n"
    )
    outer, inner = said.split()[-1], cluster.read("outer.txt").split()[-1]
    assert cluster.read("inner.txt") == f"inner {inner}\n"
    assert int(inner) > int(outer)


def test_srun_is_a_step_in_a_job_and_a_job_elsewhere(cluster):
    line = "srun -n2 -l sh -c 'echo $SLURM_PROCID'; srun -n1 false"
    said = cluster.say("sbatch", "--parsable", "-W", "-n", "2", "-o", "steps.txt", "--wrap", line)
    assert said.code == 1, said
    assert sorted(cluster.read("steps.txt").splitlines()) == ["0: 0", "1: 1"]
    assert cluster.state(said.out.strip()) == "FAILED"
    said = cluster.say("srun", "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (said.code, said.out) == (5, "out\n")
    assert "err\n" in said.err
    hosts = cluster.submit("-W", "-o", "hosts.txt", "--wrap", "scontrol show hostnames")
    assert cluster.read("hosts.txt").strip() == os.uname().nodename.partition(".")[0], hosts


def test_a_secret_of_the_environment_reaches_the_job_and_not_the_log(cluster):
    said = cluster.say(
        "sbatch", "-W", "--parsable", "-o", "s.txt", "--wrap", "echo $MY_TOKEN $PLAIN", MY_TOKEN="hush-7", PLAIN="p"
    )
    number = said.out.strip()
    assert cluster.read("s.txt") == "hush-7 p\n"
    events = "".join(str(file.read_bytes()) for file in Path(cluster.stack.root, "nats").rglob("*.blk"))
    assert number
    assert "hush-7" not in events


@pytest.mark.skipif(os.geteuid() != 0, reason="only an agent of root's starts tasks as others")
def test_a_job_runs_as_who_submitted_it(cluster):
    place = cluster.shared / "theirs"
    place.mkdir()
    reachable(place)
    os.chown(place, 65534, 65534)
    who = Submitter("nobody", 65534, 65534, "here", str(place), 0o077, as_user=True)
    script = Script("#!/bin/sh\nid -u; umask\n", (), "mine")
    wish = submission.event(read(SBATCH, ["-o", "out.txt"]), script, who, {"PATH": os.environ["PATH"]}, "theirs")
    door = Door(cluster.environ)
    number = str(once.submit(door.profile, door.bookmark, wish).id)
    cluster.stack.until(lambda: cluster.state(number) not in ("PENDING", "RUNNING"))
    assert cluster.state(number) == "COMPLETED", cluster.stack.ok("task", "logs", "--stderr", f"{number}.0")
    assert cluster.read("theirs/out.txt") == "65534\n0077\n", cluster.stack.ok(
        "task", "logs", "--stderr", f"{number}.0"
    )
    assert (place / "out.txt").stat().st_uid == 65534


def test_a_failing_place_and_misuse_are_told(cluster):
    number = cluster.submit("-D", "/not/there/at/all", "--wrap", "true")
    cluster.until(number, "FAILED")
    assert "/not/there/at/all" in cluster.stack.ok("task", "logs", "--stderr", f"{number}.0")
    for words, text in (
        (("sbatch", "-N", "2", "--wrap", "true"), "--nodes=1"),
        (("sbatch", "--begin=now", "--wrap", "true"), "--hold"),
        (("sbatch", "missing.sh"), "Unable to open file missing.sh"),
        (("squeue", "-t", "NONSENSE"), "Invalid job state"),
        (("squeue", "-j", "999999999"), "Invalid job id"),
        (("scancel",), "No job identification"),
    ):
        said = cluster.say(*words)
        assert said.code == 1, said
        assert text in said.err
    warned = cluster.say("sbatch", "--mail-type=END", "--no-such-thing", "--wrap", "true")
    assert warned.code == 0
    assert "--mail-type and --no-such-thing have no effect" in warned.err


def test_programs_find_out_what_there_is(cluster):
    assert cluster.ok("sinfo", "-h", "-o", "%P").split() == ["default*"]
    words = cluster.ok("sinfo", "-h", "-a", "-o", "%P %G %l %p %c %m").split()
    assert len(words) == 6
    assert cluster.ok("sacctmgr", "-n", "-s", "list", "user", "root", "format=account%256").split() == ["none"]
    assert cluster.ok("sacct", "-nu", "root", "-o", "Account%256").split() == ["none"]
    assert "MinJobAge" in cluster.ok("scontrol", "show", "config")
    assert cluster.ok("sbatch", "--version").startswith("slurm ")
    assert "NodeName=local-1" in cluster.ok("scontrol", "show", "node")


def test_the_calls_of_nextflow_and_toil_are_answered_in_their_shapes(cluster):
    script = cluster.script(
        ".command.run",
        "#SBATCH -J nf-x\n#SBATCH -o /dev/null\n#SBATCH --no-requeue\n#SBATCH --signal B:USR2@30\n#SBATCH -c 1\n"
        "#SBATCH -t 00:10:00\n#SBATCH --mem 300M\n#SBATCH -p default\nexit 4\n",
    )
    number = cluster.ok("sbatch", script).split()[-1]
    cluster.until(number, "FAILED")
    listed = cluster.ok("squeue", "--noheader", "-o", "%i %t", "-t", "all", "-p", "default", "-u", "root").splitlines()
    assert f"{number} F" in listed
    assert all(len(line.split()) == 2 for line in listed)
    wrap = (
        "-J",
        "toil_job_1",
        "--signal=B:USR2@30",
        "--export=ALL,K=V",
        "--partition=default",
        "--mem=256",
        "--cpus-per-task=1",
    )
    said = cluster.ok("sbatch", *wrap, "-o", "toil.out", "-e", "toil.err", "--wrap=exec sh -c 'echo $K'")
    number = str(int(said.split()[-1]))
    cluster.until(number, "COMPLETED")
    assert cluster.read("toil.out") == "V\n"
    pairs = dict(word.split("=", 1) for word in cluster.ok("scontrol", "show", "job", number).split() if "=" in word)
    assert (pairs["JobId"], pairs["JobState"], pairs["ExitCode"]) == (number, "COMPLETED", "0:0")
    since = ("-S", "now-1hour", "-E", "now")
    rows = cluster.ok("sacct", "-n", "-j", number, "--format", "JobIDRaw,State,ExitCode", "-P", *since).splitlines()
    assert rows == [f"{number}|COMPLETED|0:0", f"{number}.batch|COMPLETED|0:0"]
    assert all(len(line.split()) == 3 for line in cluster.ok("squeue", "-h", "--format", "%i %t %M").splitlines())


def test_the_thin_commands_say_one_word(cluster):
    good = cluster.ok("longshore-submit", cluster.script("g.sh", "true\n"))
    assert good.strip().isdigit()
    bad = cluster.ok("longshore-submit", "-c", "1", cluster.script("b.sh", "exit 1\n"))
    slow = cluster.ok("longshore-submit", cluster.script("s.sh", "sleep 300\n"))
    cluster.stack.until(lambda: cluster.ok("longshore-status", good.strip()) == "success\n")
    cluster.stack.until(lambda: cluster.ok("longshore-status", bad.strip()) == "failed\n")
    assert cluster.ok("longshore-status", slow.strip()) == "running\n"
    cluster.ok("longshore-cancel", slow.strip(), good.strip())
    cluster.stack.until(lambda: cluster.ok("longshore-status", slow.strip()) == "failed\n")


@pytest.mark.parametrize(
    "words",
    [("sbatch", "-Q", "--wrap", "true"), ("squeue", "-h"), ("sacct", "-n"), ("scancel", "-Q", "1"), ("sinfo", "-h")],
)
def test_a_command_takes_less_than_150_ms(cluster, words):
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        cluster.say(*words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)  # of its own: others run too
    assert min(took) < 0.15, took
