"""Clients of TES, as they are released, on a real stack with a real engine: py-tes of both generations, and Snakemake.

Each client lives in an environment of its own, made once with pip below the cache directory: the two py-tes exclude each
other, and neither is anything of ours.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from services.agent.tests.engine import IMAGE, answers, make_image

from . import stand_ins
from .stacks import Stack, place_for, running

pytestmark = [pytest.mark.slow, pytest.mark.engine]

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "longshore" / "tes-clients"
SNAKEMAKE = ("snakemake==9.27.1", "snakemake-storage-plugin-s3==0.3.6")
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"}
SNAKEMAKE_IMAGE = "longshore-test/snakemake:9.27.1"


def client(name: str, *packages: str) -> Path:
    """The programs of an environment that holds these packages."""
    place = CACHE / name
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        stand_ins.run(sys.executable, "-m", "venv", place)
        stand_ins.run(place / "bin/pip", "install", "-q", "--disable-pip-version-check", *packages, seconds=420)
        (place / "done").touch()
    return place / "bin"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of a store that containers and this host reach under the same name."""
    gateway = stand_ins.run(
        "docker", "network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}"
    ).strip()
    with tempfile.TemporaryFile() as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", gateway, "-p", "0"], stdout=said, stderr=subprocess.STDOUT
        )
        try:
            url, end = "", time.monotonic() + 60
            while not url:
                assert time.monotonic() < end, "the store does not start"
                assert server.poll() is None
                said.seek(0)
                words = said.read().decode().split()
                url = next((w for w in words if w.startswith("http://")), "")
                time.sleep(0.05)
            yield url
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture(scope="module")
def stack(s3: str) -> Iterator[Stack]:
    if not answers():
        pytest.fail("these tests need a container engine: infra/test.sh starts one")
    make_image()
    with place_for("tes") as root:
        made = Stack(root)
        made.environ |= {"AWS_ENDPOINT_URL": s3, "AWS_DEFAULT_REGION": "us-east-1"}
        made.environ |= {"AWS_ACCESS_KEY_ID": "AKIAAGENTSOWNEXAMPLE", "AWS_SECRET_ACCESS_KEY": "the-agents-own"}
        with running(made):
            yield made


def door(stack: Stack) -> tuple[str, str]:
    """The api's URL, and a credential."""
    url = json.loads((stack.root / "client.json").read_text())["api_url"]
    return url, (stack.root / "secrets/api-token").read_text().strip()


def speak(stack: Stack, programs: Path, script: str, *words: str) -> dict:
    """What a script of the client says as its last line, as JSON; it finds the door in TES_URL and TES_TOKEN."""
    url, token = door(stack)
    environ = stack.environ | {"TES_URL": f"{url}/ga4gh/tes", "TES_TOKEN": token, "IMAGE": IMAGE}
    done = subprocess.run(
        [programs / "python", "-c", textwrap.dedent(script), *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


PY_TES_1 = """
    import json, os, sys, tes
    place = sys.argv[1]
    cli = tes.HTTPClient(os.environ["TES_URL"], timeout=10, token=os.environ["TES_TOKEN"])
    info = cli.get_service_info()
    image = os.environ["IMAGE"]
    task = tes.Task(
        name="whole task", description="all there is", tags={"suite": "e2e", "n": "1"}, volumes=["/vol"],
        executors=[
            tes.Executor(image=image, command=["sh", "-c", "tr a-z A-Z; echo $GREETING; pwd; echo oops >&2"],
                stdin="/data/in.txt", stdout="/out/first.txt", stderr="/out/first.err", env={"GREETING": "hi there"},
                workdir="/vol"),
            tes.Executor(image=image, command=["sh", "-c", "echo shared > /vol/x; exit 3"], ignore_error=True),
            tes.Executor(image=image, command=["sh", "/script", "/out/many"]),
        ],
        inputs=[
            tes.Input(path="/data/in.txt", url="s3://results/in.txt"),
            tes.Input(path="/data/dir", url=f"{place}/tree", type="DIRECTORY"),
            tes.Input(path="/script", content="mkdir -p $1; cat /vol/x /data/dir/a/b > $1/1.dat; echo two > $1/2.dat; "
                "echo no > $1/n; echo said"),
        ],
        outputs=[
            tes.Output(path="/out/first.txt", url=f"file://{place}/o/first.txt"),
            tes.Output(path="/out/first.err", url="s3://results/first.err"),
            tes.Output(path="/out/many/*.dat", url="s3://results/data", path_prefix="/out/many"),
            tes.Output(path="/out/many/*.dat", url=f"file://{place}/o/many", path_prefix="/out"),
            tes.Output(path="/out/many", url=f"file://{place}/o/tree", type="DIRECTORY"),
        ],
        resources=tes.Resources(cpu_cores=1, ram_gb=0.25, disk_gb=0.5, backend_parameters={"Walltime": "5m", "odd": "x"}),
    )
    made = cli.create_task(task)
    first = cli.list_tasks(view="MINIMAL").tasks[0]
    assert first.id == made, first
    done = cli.wait(made, timeout=120)
    full = cli.get_task(made, view="FULL")
    found = [t.id for t in cli.list_tasks(view="FULL", page_size=1).tasks]
    print(json.dumps({"id": made, "state": done.state, "full": full.as_dict(drop_empty=True), "found": found,
        "info": info.as_dict()}, default=str))
"""


def store(url: str) -> Any:
    """A client of the store, with the keys of the workflow."""
    import boto3

    keys = {name.lower(): value for name, value in KEYS.items()}
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)


def test_py_tes_1_1_runs_a_whole_task(stack: Stack, s3: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("tes")
    store(s3).create_bucket(Bucket="results")
    store(s3).put_object(Bucket="results", Key="in.txt", Body=b"abc\n")
    (place / "tree/a").mkdir(parents=True)
    (place / "tree/a/b").write_text("deep\n")
    said = speak(stack, client("py-tes-1.1", "py-tes==1.1.4"), PY_TES_1, str(place))
    assert said["state"] == "COMPLETE", said
    assert said["found"] == [said["id"]]
    (attempt,) = said["full"]["logs"]
    assert [log["exit_code"] for log in attempt["logs"]] == [0, 3, 0]
    assert attempt["logs"][2]["stdout"] == "said\n"
    assert (place / "o/first.txt").read_text() == "ABC\nhi there\n/vol\n"
    assert store(s3).get_object(Bucket="results", Key="first.err")["Body"].read() == b"oops\n"
    keys = [o["Key"] for o in store(s3).list_objects_v2(Bucket="results", Prefix="data/")["Contents"]]
    assert keys == ["data/1.dat", "data/2.dat"]
    assert (place / "o/many/many/1.dat").read_text() == "shared\ndeep\n"
    assert sorted(p.name for p in (place / "o/many/many").iterdir()) == ["1.dat", "2.dat"]
    assert sorted(p.name for p in (place / "o/tree").iterdir()) == ["1.dat", "2.dat", "n"]
    sizes = {o["path"]: str(o["size_bytes"]) for o in attempt["outputs"]}
    assert sizes["/out/first.err"] == "5"
    assert any("odd" in line for line in attempt["system_logs"])
    # it is a task like any other
    assert json.loads(stack.ok("task", "show", said["id"], "--json"))["state"] == "succeeded"


FAILURES = """
    import json, os, sys, time, tes
    place = sys.argv[1]
    cli = tes.HTTPClient(os.environ["TES_URL"], timeout=10, token=os.environ["TES_TOKEN"])
    image = os.environ["IMAGE"]
    def create(command, **more):
        return cli.create_task(tes.Task(executors=[tes.Executor(image=image, command=command)] * 2, **more))
    failing = create(["sh", "-c", "echo half > /out/half; echo why >&2; exit 7"],
        outputs=[tes.Output(path="/out/half", url=f"file://{place}/half"), tes.Output(path="/out/none", url=f"file://{place}/none")])
    missing = create(["true"], inputs=[tes.Input(path="/data/x", url=f"file://{place}/nowhere")])
    running = create(["sleep", "300"])
    while cli.get_task(running, view="MINIMAL").state != "RUNNING":
        time.sleep(0.05)
    cli.cancel_task(running)
    ends = {}
    for task in (failing, missing, running):
        while cli.get_task(task, view="MINIMAL").state in ("QUEUED", "INITIALIZING", "RUNNING"):
            time.sleep(0.05)
        full = cli.get_task(task, view="FULL")
        ends[task] = [full.state, [log.as_dict() for log in full.logs or []]]
    cli.cancel_task(running)
    print(json.dumps([ends[t] for t in (failing, missing, running)], default=str))
"""


def test_failures_are_told_apart_and_what_a_failed_task_left_is_uploaded(stack: Stack, tmp_path: Path) -> None:
    failing, missing, running = speak(stack, client("py-tes-1.1", "py-tes==1.1.4"), FAILURES, str(tmp_path))
    assert failing[0] == "EXECUTOR_ERROR"
    (log,) = failing[1][-1]["logs"]
    assert (log["exit_code"], log["stderr"]) == (7, "why\n")
    assert (tmp_path / "half").read_text() == "half\n"
    assert not (tmp_path / "none").exists()
    assert missing[0] == "SYSTEM_ERROR"
    assert any("nowhere" in line for line in missing[1][-1]["system_logs"])
    assert running[0] == "CANCELED"


PY_TES_0 = """
    import json, os, tes
    cli = tes.HTTPClient(os.environ["TES_URL"], timeout=10, **json.loads(os.environ["AS"]))
    info = cli.get_service_info()
    task = tes.Task(name="old", executors=[tes.Executor(image=os.environ["IMAGE"], command=["sh", "/run.sh"], workdir="/tmp")],
        inputs=[tes.Input(path="/run.sh", content="pwd; ls /tmp; touch /tmp/mine; echo done")])
    made = cli.create_task(task)
    done = cli.wait(made, timeout=120)
    full = cli.get_task(made, view="FULL")
    listed = cli.list_tasks(view="FULL")
    cli.cancel_task(made)
    print(json.dumps({"id": made, "state": done.state, "out": full.logs[0].logs[0].stdout, "doc": info.doc,
        "first": listed.tasks[0].id == made}))
"""


@pytest.fixture(scope="module")
def secret(stack: Stack) -> str:
    """That of a user who is no admin."""
    return stack.ok("user", "add", "tess").splitlines()[0]


@pytest.mark.parametrize("way", ["bearer", "basic"])
def test_py_tes_0_4_finds_nothing_that_it_does_not_know(stack: Stack, secret: str, way: str) -> None:
    shown = {"token": secret} if way == "bearer" else {"user": "me", "password": secret}
    stack.environ["AS"] = json.dumps(shown)
    # of the list one task, its own: it refuses the words of 1.1, which other clients posted
    script = PY_TES_0.replace('list_tasks(view="FULL")', 'list_tasks(page_size=1, view="FULL")')
    said = speak(stack, client("py-tes-0.4", "py-tes==0.4.2", "six"), script)
    assert (said["state"], said["out"], said["first"]) == ("COMPLETE", "/tmp\ndone\n", True)
    assert json.loads(stack.ok("task", "show", said["id"], "--json"))["user"] == "tess"


PYDANTIC_TES = """
    import json, os, time
    from pydantictes.api import TesClient
    from pydantictes.models import TesExecutor, TesFileType, TesInput, TesOutput, TesResources, TesTask
    cli = TesClient(os.environ["TES_URL"] + "/", headers={"Authorization": "Bearer " + os.environ["AS"]})
    info = cli.service_info()
    task = TesTask(name="galaxy", executors=[TesExecutor(image=os.environ["IMAGE"], command=["cat", "/in"], env={"A": "1"})],
        inputs=[TesInput(path="/in", content="meow", type=TesFileType.FILE)], resources=TesResources(cpu_cores=1, ram_gb=0.1))
    made = cli.create_task(task)
    while (shown := cli.get_task(made, "FULL")).state.value in ("QUEUED", "INITIALIZING", "RUNNING"):
        time.sleep(0.05)
    cli.cancel_task(made)
    listed = cli.list_tasks()
    print(json.dumps({"state": shown.state.value, "out": shown.logs[0].logs[0].stdout, "content": shown.inputs[0].content,
        "version": info.type.version, "first": listed.tasks[0].id == made.id}))
"""


def test_pydantic_tes_may_post_nulls(stack: Stack, secret: str) -> None:
    stack.environ["AS"] = secret
    said = speak(stack, client("pydantic-tes", "pydantic-tes==0.4.0"), PYDANTIC_TES)
    assert said == {"state": "COMPLETE", "out": "meow", "content": "meow", "version": "1.1.0", "first": True}


SNAKEFILE = """
rule all:
    input: "out/result.txt"
    localrule: True

rule upper:
    input: "in.txt"
    output: "out/upper.txt"
    resources: mem_mb=300
    shell: "tr a-z A-Z < {input} > {output}"

rule count:
    input: "out/upper.txt"
    output: "out/result.txt"
    resources: mem_mb=300
    shell: "wc -c < {input} > {output}"
"""


@pytest.fixture(scope="module")
def snakemake_image() -> str:
    """An image with Snakemake, made of packages."""
    if not stand_ins.run("docker", "images", "-q", SNAKEMAKE_IMAGE).strip():
        with tempfile.TemporaryDirectory() as scratch:
            if not stand_ins.run("docker", "images", "-q", stand_ins.PYTHON).strip():
                (base := Path(scratch, "python")).mkdir()
                stand_ins.python(base)
            (context := Path(scratch, "snakemake")).mkdir()
            packages = " ".join(SNAKEMAKE)
            stand_ins.build(context, f"FROM {stand_ins.PYTHON}\nRUN pip install -q {packages}\n", SNAKEMAKE_IMAGE)
    return SNAKEMAKE_IMAGE


def holding(root: Path, secret: bytes) -> Iterator[Path]:
    """The files below it with these bytes; some go away meanwhile."""
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink() and secret in path.read_bytes():
                    yield path


def test_snakemake_runs_a_workflow_of_two_jobs(stack: Stack, snakemake_image: str, s3: str, tmp_path: Path) -> None:
    store(s3).create_bucket(Bucket="workflow")
    store(s3).put_object(Bucket="workflow", Key="wf/in.txt", Body=b"hello\n")
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "funnel.log").touch()
    programs = client("snakemake", *SNAKEMAKE, "snakemake-executor-plugin-tes==0.1.3", "six")
    url, token = door(stack)
    environ = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path), "GITHUB_WORKSPACE": str(tmp_path),
        "SNAKEMAKE_TES_TOKEN": token, "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"],
        "SNAKEMAKE_STORAGE_S3_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
    }  # fmt: skip
    words = (
        "--executor", "tes", "--tes-url", f"{url}/ga4gh/tes", "--jobs", "2", "--container-image", snakemake_image,
        "--default-storage-provider", "s3", "--default-storage-prefix", "s3://workflow/wf",
        "--storage-s3-endpoint-url", s3, "--seconds-between-status-checks", "1",
    )  # fmt: skip
    done = subprocess.run(
        [programs / "snakemake", *words], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=420
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert store(s3).get_object(Bucket="workflow", Key="wf/out/result.txt")["Body"].read().strip() == b"6"
    # its scripts hold the store's keys: they are nowhere in what is kept, once the worker has cleared up
    secret = KEYS["AWS_SECRET_ACCESS_KEY"].encode()
    stack.until(lambda: not list(holding(stack.root / "workers", secret)))
    assert list(holding(stack.root, secret)) == []
    request = urllib.request.Request(f"{url}/api/v1/history?limit=1000", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert secret not in answer.read()
