"""What a container may do, against real engines: nothing by default, a little on request, more where the operator says so."""

import os
import pwd
import subprocess
import tempfile
from pathlib import Path

import pytest

from longshore_agent.adapters import cgroups
from longshore_agent.adapters.containers import DockerEngine, Offers, permissions, request
from longshore_agent.adapters.containers.connection import Engine
from longshore_agent.adapters.containers.options import CAPABILITIES, parse
from longshore_agent.core.contract import SHARED, Devices
from longshore_agent.core.ports import ContainerError, ContainerOrder
from longshore_common.errors import BadInput
from longshore_common.model import TaskSpec

from .engine import IMAGE, engine_image, podman  # noqa: F401
from .test_containers import A, Yard, engine_needed, yard  # noqa: F401

STATUS = "while read -r n v; do case $n in CapEff:|CapBnd:|NoNewPrivs:) echo $n $v;; esac; done </proc/self/status"


def offers(options: str = "", volumes: str = "") -> Offers:
    return Offers(permissions(volumes, options), "none")


def body(devices: Devices = SHARED, kind: str = "docker", memory: int = 0, **spec: object) -> dict:
    made = TaskSpec(command=("true",), container="x", **spec)
    order = ContainerOrder(A, "w", made, {}, "/i", "/o", "/t", "/r", "/so", "/se", memory, devices)
    return request.config(order, request.Host(Engine(kind, "1", "", rootless=False), "s"), "x")


@engine_needed
async def test_a_container_has_no_capability_and_no_way_to_more(yard: Yard) -> None:  # noqa: F811
    await yard.run("sh", "-c", STATUS)
    assert yard.said() == b"CapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\n"


@engine_needed
async def test_a_default_capability_can_be_taken_back(yard: Yard) -> None:  # noqa: F811
    await yard.run("sh", "-c", STATUS, container_options=("--cap-add", "chown", "--cap-add=CAP_KILL"))
    assert yard.said().splitlines()[0] == b"CapEff: 0000000000000021"


@engine_needed
async def test_the_operator_can_open_a_worker(yard: Yard, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "scratch").mkdir()
    await yard.engine.close()
    yard.engine = DockerEngine(yard.environ, str(yard.root), offers=offers("--cap-add", f"{tmp_path}/scratch:rw"))
    options = ("--cap-add=SYS_PTRACE", "-v", f"{tmp_path}/scratch:/scratch:rw")
    end = await yard.run("sh", "-c", f"echo x > /scratch/made; {STATUS}", container_options=options)
    assert (end.exit_code, yard.said().splitlines()[0]) == (0, b"CapEff: 0000000000080000")
    assert (tmp_path / "scratch" / "made").read_text() == "x\n"


@engine_needed
async def test_a_read_only_root_and_no_network_hold(yard: Yard) -> None:  # noqa: F811
    script = "echo x > /etc/made && echo writable; echo x > /tmp/t && echo tmp; ls /sys/class/net"
    await yard.run("sh", "-c", script, container_options=("--read-only", "--network", "none"))
    assert yard.said().split() == [b"tmp", b"lo"]


@engine_needed
async def test_processes_are_limited_where_the_task_says_so(yard: Yard) -> None:  # noqa: F811
    script = "i=0; while [ $i -lt 20 ]; do sleep 5 & i=$((i+1)); done; echo all"
    await yard.run("sh", "-c", script, container_options=("--pids-limit=8",))
    assert b"all" not in yard.said()
    assert b"fork" in yard.said("stderr").lower()


@engine_needed
async def test_cpus_set_aside_are_the_only_ones(yard: Yard) -> None:  # noqa: F811
    last = max(os.sched_getaffinity(0))
    order = yard.order(
        "sh", "-c", "while read -r n v; do case $n in Cpus_allowed_list:) echo $v;; esac; done </proc/self/status"
    )
    await yard.engine.start(order._replace(devices=Devices((last,))))
    await yard.engine.wait(A)
    assert yard.said() == f"{last}\n".encode()


@engine_needed
async def test_gpus_that_cannot_be_had_are_refused_not_ignored(yard: Yard) -> None:  # noqa: F811
    with pytest.raises(
        ContainerError, match=r"could not select device driver|run tasks with --gpus on a worker"
    ) as caught:
        await yard.run("true", gpus=1)
    assert caught.value.cause == "launch"


@engine_needed
async def test_volumes_that_an_image_declares_are_gone_with_the_container(engine_image: str, tmp_path: Path) -> None:  # noqa: F811
    made = Yard(tmp_path)
    subprocess.run(["docker", "build", "-q", "-t", "longshore-test/volume:1", "-"], check=True, capture_output=True, timeout=60,
                   input=f"FROM {IMAGE}\nVOLUME /kept\n".encode())  # fmt: skip
    before = _volumes()
    await made.run("sh", "-c", "echo x > /kept/made", container="longshore-test/volume:1")
    assert len(_volumes() - before) == 1
    await made.engine.forget(A)
    assert _volumes() == before
    await made.engine.close()


def _volumes() -> set[str]:
    return set(
        subprocess.run(["docker", "volume", "ls", "-q"], check=True, capture_output=True, timeout=20)
        .stdout.decode()
        .split()
    )


def test_gpus_set_aside_are_named_and_others_are_counted() -> None:
    named = body(Devices(gpus=("0", "GPU-7")), gpus=2)["HostConfig"]["DeviceRequests"]
    assert named == [{"Driver": "", "Capabilities": [["gpu"]], "DeviceIDs": ["0", "GPU-7"]}]
    assert body(gpus=2)["HostConfig"]["DeviceRequests"] == [{"Driver": "", "Capabilities": [["gpu"]], "Count": 2}]


def test_what_is_set_aside_wins_over_the_tasks_own_option() -> None:
    made = body(Devices((1, 2)), container_options=("--cpuset-cpus=0-7",), memory=5 << 20)["HostConfig"]
    assert (made["CpusetCpus"], made["Memory"], made["MemorySwap"]) == ("1,2", 5 << 20, 5 << 20)


def test_memory_is_taken_from_the_nodes_beside_the_cpus(tmp_path: Path) -> None:
    for node, cpus in ((0, "0-3,8\n"), (1, "4-7\n"), (2, "9\n")):
        (tmp_path / f"node{node}").mkdir()
        (tmp_path / f"node{node}" / "cpulist").write_text(cpus)
    assert request.memory_nodes((8,), str(tmp_path)) == "0"
    assert request.memory_nodes((5, 9), str(tmp_path)) == "1,2"
    assert request.memory_nodes((0, 4, 9), str(tmp_path)) == ""
    assert request.memory_nodes((0,), str(tmp_path / "none")) == ""


def test_a_privileged_container_is_what_it_says_where_the_operator_allows_it() -> None:
    host = parse(
        ("--privileged", "--device=/dev/fuse", "--pid=host"), permissions("", "--privileged,--device, --pid")
    ).host
    assert (host["Privileged"], host["PidMode"]) == (True, "host")
    assert host["Devices"] == [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}]
    for options in (
        ("--privileged",),
        ("--device=/dev/fuse",),
        ("--cap-add=SYS_ADMIN",),
        ("--security-opt=seccomp=unconfined",),
    ):
        with pytest.raises(ContainerError, match=r"LONGSHORE_ALLOW_OPTIONS|only no-new-privileges"):
            parse(options)
    assert len(CAPABILITIES) == 14


@pytest.mark.parametrize(
    ("volumes", "options"), [("relative", ""), ("/a/../b", ""), ("", "--volume"), ("", "privileged")]
)
def test_settings_that_cannot_be_meant_are_refused_at_the_start(volumes: str, options: str) -> None:
    with pytest.raises(BadInput, match="LONGSHORE_"):
        permissions(volumes, options)


@engine_needed
async def test_an_engine_that_knows_gpus_gives_those_that_were_set_aside(tmp_path: Path, engine_image: str) -> None:  # noqa: F811
    """dockerd registers its driver for GPUs if it finds this program at its start; a stand-in, as there is no GPU here."""
    from .engine import own_dockerd

    hook = tmp_path / "bin" / "nvidia-container-runtime-hook"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\ncat >/dev/null\n")
    hook.chmod(0o755)
    with own_dockerd(str(hook.parent)) as socket:
        archive = subprocess.run(["docker", "save", IMAGE], check=True, capture_output=True, timeout=60).stdout
        subprocess.run(["docker", "-H", socket, "load"], input=archive, check=True, capture_output=True, timeout=60)
        made = Yard(tmp_path, {**os.environ, "DOCKER_HOST": socket})
        order = made.order("env", gpus=2)
        await made.engine.start(order._replace(devices=Devices(gpus=("0", "2"))))
        await made.engine.wait(A)
        assert b"NVIDIA_VISIBLE_DEVICES=0,2" in made.said().split()
        await made.engine.forget(A)
        await made.engine.close()


@engine_needed
async def test_podman_of_an_ordinary_user_runs_tasks_as_that_user(engine_image: str) -> None:  # noqa: F811
    from .podman import Podman, missing

    if why := missing():
        pytest.skip(f"NO PODMAN: {why}; its tests did not run")
    with tempfile.TemporaryDirectory(prefix="ls-", ignore_cleanup_errors=True) as short:
        root = Path(short)
        root.chmod(0o755)
        for name in ("p", "yard"):
            (root / name).mkdir()
        served = Podman(root / "p", "nobody")
        made = Yard(root / "yard", {**os.environ, "DOCKER_HOST": f"unix://{served.socket}"})
        try:
            assert served.rootless()
            served.have_image()
            end = await made.run("sh", "-c", "id -u; echo x > /output/made; exit 3")
            assert (end.exit_code, made.said()) == (3, b"0\n")
            nobody = pwd.getpwnam("nobody").pw_uid
            assert (root / "yard" / A / "out:put" / "made").stat().st_uid == nobody
            engines = await made.engine.probe()
            assert engines.names == ("podman",)
            holds = cgroups.unified()
            assert bool(engines.problems) is not holds
            await made.engine.forget(A)
        finally:
            await made.engine.close()
            served.stop()
