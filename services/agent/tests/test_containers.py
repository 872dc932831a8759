"""Containers, against a real engine: what a task finds inside, how it ends, and what survives a restart of the agent."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from longshore_agent.adapters import cgroups
from longshore_agent.adapters.containers import DockerEngine, Offers, request, usage
from longshore_agent.adapters.containers.capture import Demultiplexer
from longshore_agent.adapters.containers.options import parse, permissions
from longshore_agent.core.ports import ContainerEnd, ContainerError, ContainerOrder
from longshore_common.ids import AttemptId
from longshore_common.model import TaskSpec
from longshore_common.testing.waiting import until

from .engine import IMAGE, engine_image, podman  # noqa: F401

engine_needed = pytest.mark.engine
A = AttemptId("7.0.1")


class Yard:
    """A worker's directory and an engine over it; `again` is the agent after a restart."""

    def __init__(self, root: Path, environ: Mapping[str, str] = os.environ) -> None:
        self.root, self.environ = root, environ
        self.engine = DockerEngine(environ, str(root), offers=Offers(network="none"))
        self.orders: list[AttemptId] = []

    def order(
        self, *command: str, attempt: AttemptId = A, env: dict[str, str] | None = None, **spec: object
    ) -> ContainerOrder:
        folders = [self.root / attempt / d for d in ("in put", "out:put", "tmp", "res")]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        self.orders.append(attempt)
        made = TaskSpec(command=command, container=spec.pop("container", IMAGE), **spec)  # type: ignore[arg-type]
        streams = (str(self.root / attempt / "stdout"), str(self.root / attempt / "stderr"))
        return ContainerOrder(attempt, "w1", made, env or {}, *map(str, folders), *streams, made.memory)

    async def run(self, *command: str, **spec: object) -> ContainerEnd:
        await self.engine.start(self.order(*command, **spec))  # type: ignore[arg-type]
        return await self.engine.wait(A)

    async def state(self, field: str) -> object:
        return (await self.inspect())["State"][field]

    async def inspect(self, attempt: AttemptId = A) -> dict[str, Any]:
        docker, _ = await self.engine.connection.open()
        return dict(await docker.containers.container(request.name(str(self.root), attempt)).show())

    def said(self, stream: str = "stdout", attempt: AttemptId = A) -> bytes:
        return (self.root / attempt / stream).read_bytes()

    async def again(self) -> None:
        await self.engine.close()
        self.engine = DockerEngine(self.environ, str(self.root), offers=Offers(network="none"))


@pytest.fixture(params=["docker", "podman"])
async def yard(tmp_path: Path, request: pytest.FixtureRequest, engine_image: str) -> AsyncIterator[Yard]:  # noqa: F811
    environ = dict(os.environ)
    if request.param == "podman":
        environ["DOCKER_HOST"] = f"unix://{request.getfixturevalue('podman').socket}"
    made = Yard(tmp_path, environ)
    yield made
    for attempt in made.orders:
        await made.engine.forget(attempt)
    await made.engine.close()


@engine_needed
async def test_a_command_runs_with_its_arguments_to_the_byte_and_its_output_is_kept_apart(yard: Yard) -> None:
    end = await yard.run("sh", "-c", r'printf "%s|" "$@"; printf "\377\0x" >&2; exit 3', "sh", "a b", "$X", "é'\"", "")
    assert end.exit_code == 3
    assert not end.oom
    assert yard.said() == "a b|$X|é'\"||".encode()
    assert yard.said("stderr") == b"\xff\x00x"
    assert 0 < end.started_at <= end.ended_at


@engine_needed
async def test_the_directories_and_the_environment_are_those_of_the_contract(yard: Yard) -> None:
    order = yard.order(
        "sh", "-c", 'cat /input/x; echo "$A"; echo made > /output/y; echo t > /tmp/t; touch /resource/z', env={"A": "b c"}
    )  # fmt: skip
    Path(order.input_dir, "x").write_text("given\n")
    await yard.engine.start(order)
    end = await yard.engine.wait(A)
    assert end.exit_code == 1
    assert yard.said() == b"given\nb c\n"
    assert b"Read-only" in yard.said("stderr")
    assert Path(order.output_dir, "y").read_text() == "made\n"
    assert Path(order.temp_dir, "t").read_text() == "t\n"


@engine_needed
async def test_memory_beyond_the_limit_is_an_oom_and_the_peak_is_measured(yard: Yard) -> None:
    end = await yard.run("dd", "if=/dev/zero", "of=/dev/null", "bs=90M", "count=1", memory=32 << 20)
    assert end.oom
    assert end.exit_code == 137
    assert end.peak_memory > 16 << 20


@engine_needed
async def test_memory_and_cpu_are_measured_also_of_a_container_that_lived_for_a_moment(yard: Yard) -> None:
    end = await yard.run("dd", "if=/dev/zero", "of=/dev/null", "bs=40M", "count=2")
    assert end.exit_code == 0
    assert end.peak_memory >= 40 << 20
    assert end.cpu_seconds > 0


@engine_needed
async def test_a_user_named_by_the_task_runs_it_and_owns_what_it_makes(yard: Yard) -> None:
    end = await yard.run("sh", "-c", "id -u; id -g; echo x > /output/mine", uid=12345, gid=23456)
    assert (end.exit_code, yard.said()) == (0, b"12345\n23456\n")
    made = (yard.root / A / "out:put" / "mine").stat()
    assert (made.st_uid, made.st_gid) == (12345, 23456)


@engine_needed
async def test_options_are_passed_on(yard: Yard) -> None:
    options = (
        "-e",
        "A=1",
        "--env=B=2 3",
        "--workdir /tmp",
        "--network",
        "none",
        "--shm-size=1m",
        "--hostname=here",
        "--rm",
    )
    end = await yard.run("sh", "-c", 'echo "$A $B"; pwd; cat /proc/sys/kernel/hostname', container_options=options)
    assert (end.exit_code, yard.said()) == (0, b"1 2 3\n/tmp\nhere\n")


@engine_needed
async def test_a_frozen_container_stands_still_until_it_goes_on(yard: Yard) -> None:
    await yard.engine.start(yard.order("sh", "-c", "while :; do echo x; sleep 0.02; done"))
    out = yard.root / A / "stdout"
    await until(lambda: out.exists() and out.stat().st_size > 0)
    await yard.engine.pause(A)
    assert await yard.state("Paused")
    size = out.stat().st_size
    await yard.engine.unpause(A)
    await until(lambda: out.stat().st_size > size)
    await yard.engine.pause(A)
    async with asyncio.timeout(5):
        await yard.engine.kill(A)
        assert (await yard.engine.wait(A)).exit_code == 137


@engine_needed
async def test_stop_asks_first_and_kills_after_the_grace(yard: Yard) -> None:
    await yard.engine.start(
        yard.order("sh", "-c", 'trap "echo bye; exit 5" TERM; echo up; while :; do sleep 0.05; done')
    )
    await until(lambda: (yard.root / A / "stdout").exists() and yard.said() == b"up\n")
    await yard.engine.stop(A, 5)
    assert (await yard.engine.wait(A)).exit_code == 5
    assert yard.said() == b"up\nbye\n"
    deaf = AttemptId("7.1.1")
    await yard.engine.start(yard.order("sh", "-c", 'trap "" TERM; while :; do sleep 0.05; done', attempt=deaf))
    await yard.engine.stop(deaf, 0.3)
    assert (await yard.engine.wait(deaf)).exit_code == 137


@engine_needed
async def test_any_signal_reaches_the_first_process(yard: Yard) -> None:
    await yard.engine.start(
        yard.order("sh", "-c", 'trap "echo usr1; exit 0" USR1; echo up; while :; do sleep 0.05; done')
    )
    await until(lambda: (yard.root / A / "stdout").exists() and yard.said() == b"up\n")
    await yard.engine.signal(A, 10)
    assert (await yard.engine.wait(A)).exit_code == 0
    await yard.engine.signal(A, 10)
    await yard.engine.signal(AttemptId("999.0.1"), 9)


@engine_needed
async def test_starting_twice_under_one_attempt_starts_once(yard: Yard) -> None:
    order = yard.order("sh", "-c", "echo once; sleep 0.2")
    first = await yard.engine.start(order)
    assert await yard.engine.start(order) == first
    await yard.engine.wait(A)
    assert await yard.engine.start(order) == first
    assert yard.said() == b"once\n"


@engine_needed
async def test_after_a_restart_running_and_ended_containers_are_found_with_all_their_output(yard: Yard) -> None:
    other = AttemptId("7.1.1")
    await yard.engine.start(
        yard.order("sh", "-c", "i=0; while [ $i -lt 60 ]; do echo $i; i=$((i+1)); sleep 0.02; done; exit 4")
    )
    await yard.engine.start(yard.order("sh", "-c", "echo short; exit 6", attempt=other))
    await until(lambda: len(yard.said()) > 10)
    await yard.again()
    (yard.root / other / "stdout").unlink(missing_ok=True)
    assert set(await yard.engine.adopt("w1")) == {A, other}
    assert await yard.engine.adopt("w2") == ()
    assert (await yard.engine.wait(A)).exit_code == 4
    assert (await yard.engine.wait(other)).exit_code == 6
    assert yard.said().split() == [str(i).encode() for i in range(60)]
    assert yard.said(attempt=other) == b"short\n"
    stranger = DockerEngine(yard.environ, str(yard.root) + "-other")
    assert await stranger.adopt("w1") == ()
    await stranger.close()


@engine_needed
async def test_a_container_that_was_made_and_never_started_is_not_adopted(yard: Yard) -> None:
    order = yard.order("true")
    docker, host = await yard.engine.connection.open()
    await docker.containers.create(
        request.config(order, request.Host(host, str(yard.root)), IMAGE), name=request.name(str(yard.root), A)
    )
    with pytest.raises(ContainerError, match="never started"):
        await yard.engine.wait(A)
    assert await yard.engine.adopt("w1") == ()
    assert (await yard.run("true")).exit_code == 0


@engine_needed
async def test_much_output_without_any_line_end_is_kept_whole(yard: Yard) -> None:
    end = await yard.run("sh", "-c", "head -c 3000000 /dev/zero; seq 1 20000 >&2")
    assert end.exit_code == 0
    assert yard.said() == bytes(3_000_000)
    assert yard.said("stderr") == b"".join(b"%d\n" % i for i in range(1, 20001))


@engine_needed
async def test_an_unknown_image_fails_with_the_words_of_the_registry(yard: Yard) -> None:
    with pytest.raises(ContainerError, match="cannot be pulled") as caught:
        await yard.engine.prepare(TaskSpec(command=("true",), container="nowhere.invalid/no/image:1"))
    assert caught.value.cause == "image"
    await yard.engine.prepare(TaskSpec(command=("true",), container=IMAGE))
    with pytest.raises(ContainerError) as caught:
        await yard.engine.start(yard.order("true", container="nowhere.invalid/no/image:1"))
    assert caught.value.cause == "image"


@engine_needed
async def test_a_command_that_does_not_exist_is_a_launch_failure_and_leaves_nothing(yard: Yard) -> None:
    with pytest.raises(ContainerError, match="no-such-command") as caught:
        await yard.engine.start(yard.order("no-such-command"))
    assert caught.value.cause == "launch"
    assert await yard.engine.adopt("w1") == ()


@engine_needed
async def test_forgetting_removes_a_running_container_and_its_group_and_may_be_repeated(yard: Yard) -> None:
    await yard.engine.start(yard.order("sleep", "100"))
    await yard.engine.forget(A)
    assert await yard.engine.adopt("w1") == ()
    await yard.engine.forget(A)


@engine_needed
async def test_groups_of_containers_that_somebody_else_removed_are_swept_away(yard: Yard) -> None:
    name, group = request.name(str(yard.root), A), Path(f"{cgroups.ROOT}/memory/{cgroups.PARENT}")
    await yard.engine.start(yard.order("true"))
    await yard.engine.wait(A)
    docker, host = await yard.engine.connection.open()
    await docker.containers.container(name).delete(force=True)
    if usage.parent(name, host.driver) and group.is_dir():
        assert (group / name).exists()
    assert await yard.engine.adopt("w1") == ()
    assert not (group / name).exists()


@engine_needed
async def test_the_engine_that_answers_is_named(yard: Yard) -> None:
    assert (await yard.engine.probe()).names in (("docker",), ("podman",))


async def test_a_missing_engine_is_a_problem_with_its_fix_and_no_crash(tmp_path: Path) -> None:
    engine = DockerEngine({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}, "x")
    found = await engine.probe()
    assert found.names == ()
    assert "DOCKER_HOST" in found.problems[0]
    assert await engine.adopt("w1") == ()
    with pytest.raises(ContainerError) as caught:
        await engine.prepare(TaskSpec(command=("true",), container="x"))
    assert caught.value.cause == "host"
    await engine.close()


async def test_an_engine_that_says_nothing_is_known_within_seconds(tmp_path: Path) -> None:
    path = f"{tmp_path}/mute.sock"
    gone = asyncio.Event()

    async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_unix_server(mute, path)
    engine = DockerEngine({"DOCKER_HOST": f"unix://{path}"}, "x")
    async with asyncio.timeout(5):
        found = await engine.probe()
    assert "does not answer" in found.problems[0]
    gone.set()
    server.close()
    await engine.close()


@pytest.mark.parametrize(
    "options",
    [
        ("--privileged",), ("--pid", "host"), ("--pid=host",), ("--cap-add", "ALL"), ("-v", "/:/host"), ("--ipc=host",),
        ("-v/etc:/e:ro",), ("--device=/dev/sda",), ("--mount", "type=bind"), ("--network", "container:x"), ("-it",),
        ("--security-opt", "seccomp=unconfined"), ("--userns=host",), ("--no-such",), ("-e",),
        ("--label", "longshore.worker=x"),
        ("-v", "/ref/../etc:/e"), ("-v", "/ref:/r:rw"), ("plain",), ("--shm-size", "much"), ("--privileged=true",),
    ],
)  # fmt: skip
def test_options_that_open_the_host_or_are_unknown_are_refused(options: tuple[str, ...]) -> None:
    with pytest.raises(ContainerError) as caught:
        parse(options, permissions("/ref", ""))
    assert caught.value.cause == "launch"


def test_a_folder_that_the_operator_allows_is_mounted_read_only() -> None:
    mounts = parse(("-v", "/ref/human:/data"), permissions("/ref/", "")).host["Mounts"]
    assert mounts == [{"Type": "bind", "Source": "/ref/human", "Target": "/data", "ReadOnly": True}]


def test_the_spellings_of_one_option_mean_the_same() -> None:
    spellings = [("-e", "A=b c"), ("-eA=b c",), ("--env", "A=b c"), ("--env=A=b c",), ("--env A=b c",), ("-e A=b c",)]
    assert [parse(s).env for s in spellings] == [{"A": "b c"}] * len(spellings)
    assert parse(("--shm-size", "64m", "--init", "--network=host")).host == {
        "ShmSize": 64 << 20, "Init": True, "NetworkMode": "host",
    }  # fmt: skip


def test_frames_are_put_together_however_they_are_cut() -> None:
    parts = [(1, b"ab"), (2, b"x\xff"), (1, b""), (1, b"c")]
    frames = b"".join(bytes([s, 0, 0, 0]) + len(d).to_bytes(4, "big") + d for s, d in parts)
    for step in range(1, len(frames)):
        cutter, got = Demultiplexer(), {1: b"", 2: b""}
        for at in range(0, len(frames), step):
            for stream, data in cutter.feed(frames[at : at + step]).items():
                got[stream] += data
        assert got == {1: b"abc", 2: b"x\xff"}
