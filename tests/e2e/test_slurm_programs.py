"""Programs that were written for Slurm, unchanged, on a real stack: Parsl, dask-jobqueue, PSI/J, Toil, Snakemake."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from .peers import OURS, environment
from .stacks import LONGSHORE, Said, Stack

#: One door is enough here: that both give the same is proved where the commands are.
pytestmark = [pytest.mark.programs, pytest.mark.parametrize("stack", ["nats"], indirect=True, scope="module")]

SNAKEMAKE = (
    "snakemake==9.27.1", "snakemake-executor-plugin-cluster-generic==1.0.9", "snakemake-executor-plugin-slurm==2.8.0",
)  # fmt: skip
SNAKEFILE = """
rule all:
    input: "joined.txt"

rule part:
    output: "part.{n}.txt"
    threads: 1
    resources: mem_mb=500, runtime=5
    shell: "echo {wildcards.n} > {output}"

rule join:
    input: expand("part.{n}.txt", n=range(3))
    output: "joined.txt"
    shell: "cat {input} > {output}"
"""
BROKEN = """
rule broken:
    output: "never.txt"
    shell: "echo why >&2; exit 3"
"""


class Place:
    """A shared directory with the commands, and a program's environment."""

    def __init__(self, stack: Stack, shared: Path, programs: Path) -> None:
        self.stack, self.shared = stack, shared
        self.environ = stack.environ | {
            "PATH": f"{programs}:{LONGSHORE.parent}:{os.environ['PATH']}",
            "HOME": str(shared),
        }

    def run(self, place: Path, *words: str, within: float = 240) -> Said:
        environ = self.environ | {"PATH": f"{place}:{self.environ['PATH']}"}
        done = subprocess.run(
            [str(place / words[0]), *words[1:]],
            env=environ,
            cwd=self.shared,
            capture_output=True,
            text=True,
            timeout=within,
        )
        return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def place(stack, tmp_path) -> Place:
    stack.ok("slurm-shim", "install", str(tmp_path / "bin"))
    return Place(stack, tmp_path, tmp_path / "bin")


def test_parsl_runs_its_blocks_and_scales_in(place):
    python = environment("parsl", "parsl==2026.10.26")
    (place.shared / "flow.py").write_text("""
import os
import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

@parsl.python_app
def where(n):
    import os
    return n * n, os.environ["SLURM_JOB_ID"]

provider = SlurmProvider(
    partition="default", nodes_per_block=1, cores_per_node=1, init_blocks=1, max_blocks=1, walltime="00:05:00", exclusive=False,
    launcher=SimpleLauncher(), worker_init="export PATH=%s:$PATH" % os.environ["PATH"],
)
executor = HighThroughputExecutor(label="lane", address="127.0.0.1", max_workers_per_node=1, provider=provider)
with parsl.load(Config(executors=[executor], strategy="simple")):
    found = [app.result(timeout=120) for app in [where(n) for n in range(5)]]
assert [value for value, _ in found] == [0, 1, 4, 9, 16], found
print("job", found[0][1])
""")
    said = place.run(python, "python", "flow.py")
    assert said.code == 0, said.out[-1000:] + said.err[-3000:]
    number = said.out.split()[-1]
    states = {"cancelled", "succeeded", "failed"}
    place.stack.until(lambda: place.stack.lines("task", "list", number)[0]["state"] in states)


def test_dask_computes_on_workers_that_are_jobs(place):
    python = environment("dask", "dask==2026.8.0", "distributed==2026.8.0", "dask-jobqueue==0.9.0")
    (place.shared / "flow.py").write_text("""
import sys
from dask.distributed import Client
from dask_jobqueue import SLURMCluster

if __name__ == "__main__":
    with SLURMCluster(
        queue="default", cores=1, processes=1, memory="512MB", walltime="00:05:00", job_mem="512MB", death_timeout=60,
        python=sys.executable, interface="lo",
    ) as cluster, Client(cluster) as client:
        cluster.scale(jobs=1)
        assert client.gather(client.map(lambda n: n * n, range(5))) == [0, 1, 4, 9, 16]
        print("jobs", *cluster.workers["SLURMCluster-0"].job_id.split())
""")
    said = place.run(python, "python", "flow.py")
    assert said.code == 0, said.out[-1000:] + said.err[-3000:]
    number = said.out.split()[-1]
    place.stack.until(
        lambda: place.stack.lines("task", "list", number)[0]["state"] in ("cancelled", "succeeded", "failed")
    )


PSIJ = """
import sys
from datetime import timedelta
from pathlib import Path
from psij import Job, JobAttributes, JobExecutor, JobExecutorConfig, JobSpec, JobState, ResourceSpecV1
from psij.executors.batch.slurm import SlurmExecutorConfig

name = sys.argv[1]
if name == "slurm":
    config = SlurmExecutorConfig(queue_polling_interval=1, initial_queue_polling_delay=1)
    executor = JobExecutor.get_instance("slurm", config=config)
else:
    executor = JobExecutor.get_instance(name)
attributes = JobAttributes(duration=timedelta(minutes=5), queue_name="default")

def job(*words, **more):
    made = Job(JobSpec(executable=words[0], arguments=list(words[1:]), attributes=attributes, **more))
    executor.submit(made)
    return made

good = job("/bin/sh", "-c", "echo $WORD", environment={"WORD": "hello"}, stdout_path=Path("out.txt").absolute())
bad = job("/bin/false")
long = job("/bin/sleep", "300", resources=ResourceSpecV1(process_count=1, cpu_cores_per_process=1))
assert good.wait(timedelta(seconds=90)).state == JobState.COMPLETED, good.status
assert Path("out.txt").read_text() == "hello\\n"
assert bad.wait(timedelta(seconds=90)).state == JobState.FAILED, bad.status
assert bad.status.exit_code == 1, bad.status
assert long.wait(timedelta(seconds=90), target_states=[JobState.ACTIVE]).state == JobState.ACTIVE, long.status
again = Job()
executor.attach(again, long.native_id)
long.cancel()
assert long.wait(timedelta(seconds=90)).state == JobState.CANCELED, long.status
print("done")
"""


@pytest.mark.parametrize("name", ["slurm", "longshore"])
def test_psij_submits_attaches_and_cancels(place, name):
    python = environment("psij", "psij-python==0.9.11", ours=(*OURS, "integrations/psij-longshore"))
    (place.shared / "flow.py").write_text(PSIJ)
    if name == "longshore":
        place.environ["PATH"] = os.environ["PATH"]  # nothing of Slurm's is there
    said = place.run(python, "python", "flow.py", name)
    assert (said.code, said.out.splitlines()[-1:]) == (0, ["done"]), said


def test_toil_runs_a_workflow_of_jobs(place):
    python = environment("toil", "toil==9.1.1", "setuptools<81")
    (place.shared / "flow.py").write_text("""
import os
from toil.common import Toil
from toil.job import Job

def child(job, n):
    return n * n, os.environ["SLURM_JOB_ID"]

def root(job):
    return [job.addChildJobFn(child, n, cores=1, memory="300M", disk="1M").rv() for n in range(3)]

if __name__ == "__main__":
    with Toil(Job.Runner.getDefaultArgumentParser().parse_args()) as toil:
        found = toil.start(Job.wrapJobFn(root, cores=1, memory="300M", disk="1M"))
    assert [value for value, _ in found] == [0, 1, 4], found
    assert len({number for _, number in found}) == 3, found
""")
    words = (
        "--batchSystem",
        "slurm",
        "--slurmPartition",
        "default",
        "--maxLocalJobs",
        "0",
        "--statePollingWait",
        "2",
        "--disableCaching",
    )
    said = place.run(
        python, "python", "flow.py", f"file:{place.shared}/store", *words, "--batchLogsDir", str(place.shared)
    )
    assert said.code == 0, said.out[-1000:] + said.err[-3000:]


GENERIC = (
    "--executor", "cluster-generic", "--cluster-generic-submit-cmd", "longshore-submit -c {threads}",
    "--cluster-generic-status-cmd", "longshore-status", "--cluster-generic-cancel-cmd", "longshore-cancel",
)  # fmt: skip
WAYS = {
    "generic": GENERIC,
    "plugin": ("--executor", "longshore"),
    "slurm": ("--executor", "slurm", "--default-resources", "slurm_partition=default"),
}


def snakemake() -> Path:
    plugin = "integrations/snakemake-executor-plugin-longshore"
    return environment("snakemake", *SNAKEMAKE, ours=(*OURS, plugin))


@pytest.mark.parametrize("way", list(WAYS))
def test_snakemake_runs_a_workflow(place, way):
    python = snakemake()
    (place.shared / "Snakefile").write_text(SNAKEFILE)
    said = place.run(
        python, "snakemake", *WAYS[way], "--jobs", "4", "--seconds-between-status-checks", "1", "--latency-wait", "2"
    )
    assert said.code == 0, said.out[-1000:] + said.err[-3000:]
    assert (place.shared / "joined.txt").read_text() == "0\n1\n2\n"


@pytest.mark.parametrize("way", ["generic", "plugin"])
def test_snakemake_is_told_of_a_failure(place, way):
    python = snakemake()
    (place.shared / "Snakefile").write_text(BROKEN)
    said = place.run(
        python, "snakemake", *WAYS[way], "--jobs", "1", "--seconds-between-status-checks", "1", "--latency-wait", "1"
    )
    assert said.code == 1, said.err[-3000:]
    assert "broken" in said.err
    if way == "plugin":
        assert "why" in said.err


SLEEPING = """
rule all:
    input: expand("late.{n}.txt", n=range(2))

rule late:
    output: "late.{n}.txt"
    shell: "sleep 300"
"""


def test_an_interrupt_cancels_the_jobs_of_our_executor(place):
    python = snakemake()
    (place.shared / "Snakefile").write_text(SLEEPING)
    words = (*WAYS["plugin"], "--jobs", "2", "--seconds-between-status-checks", "1", "--longshore-batch", "late")
    environ = place.environ | {"PATH": f"{python}:{place.environ['PATH']}"}
    log = place.shared / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [python / "snakemake", *words], env=environ, cwd=place.shared, stdout=out, stderr=out
        )
    states = lambda: sorted(task["state"] for task in place.stack.lines("task", "list", "--batch", "late"))  # noqa: E731
    place.stack.until(lambda: states() == ["running", "running"], within=90)
    running.send_signal(signal.SIGINT)
    assert running.wait(90) != 0, log.read_text()
    place.stack.until(lambda: states() == ["cancelled", "cancelled"])
