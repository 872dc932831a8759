"""An agent killed by SIGKILL in each phase of a transfer: every output then stands exactly once, no resource is half there."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.log import Entry
from longshore_common.model import TaskSpec
from longshore_common.testing.waiting import until

from .conftest import kill
from .storage import Server
from .test_process import Site, site  # noqa: F401  the fixture

pytestmark = pytest.mark.slow
FILES = 400


class Data:
    """Tasks that read an unpacked resource and an input, and leave twenty files each."""

    def __init__(
        self, yard: Site, output: str = "", out: Path | None = None, environ: dict[str, str] | None = None
    ) -> None:
        self.site, self.root, self.environ = yard, yard.directory, environ or {}
        self.out, self.cache = out or self.root / "out", self.root / "w1" / "cache"
        self.output = output or f"file://{self.out}"
        source = self.root / "db"
        source.mkdir()
        for k in range(FILES):
            (source / f"f{k}").write_text(f"{k}" * 2000)
        self.archive = self.root / "db.tgz"
        subprocess.run(["tar", "-czf", self.archive, "-C", source, "."], check=True)
        self.input = self.root / "in"
        self.input.write_bytes(os.urandom(6 << 20))
        (self.root / "ran").mkdir()
        self.granting = asyncio.ensure_future(self.grant())

    async def grant(self):
        """Give leave to publish, as the dispatcher does."""
        given = set()
        while True:
            for name in {d.attempt for r in self.site.events(e.AttemptsReported) for d in r.delivered} - given:
                given.add(name)
                event = e.AttemptsSignalled(attempts=(name,), wanted="publish")
                await self.site.dispatcher.log.append(Entry(event, "w1", f"grant-{name}"))
            await asyncio.sleep(0.01)

    async def assign(self, count):
        script = (
            f"echo x >> {self.root}/ran/$LONGSHORE_ATTEMPT; test -s $INPUT/in || exit 1; "
            "for k in $(seq 20); do cat $RESOURCE/f$k > $OUTPUT/$LONGSHORE_INDEX-$k || exit 2; done"
        )
        fields = {"inputs": (f"file://{self.input}",), "resources": (f"file://{self.archive}|untar",)}
        return await self.site.assign("sh", "-c", script, count=count, output=self.output, **fields)

    def check(self, names):
        """All is there, once."""
        made = {p.name: p.read_text() for p in self.out.iterdir() if p.is_file()}
        assert made == {f"{i}-{k}": f"{k}" * 2000 for i in range(len(names)) for k in range(1, 21)}
        ours = sorted(os.listdir(self.out / ".longshore"))
        assert ours == sorted(f"{name.rpartition('.')[0]}.json" for name in names)
        for name in ours:
            assert len(json.loads((self.out / ".longshore" / name).read_text())["files"]) == 20
        assert {(self.root / "ran" / name).read_text() for name in names} == {"x\n"}
        (entry,) = self.cache.iterdir()
        assert len(list((entry / "tree").iterdir())) == FILES
        assert (entry / "index").exists()

    async def ended(self, names):
        await until(lambda: len({x.attempt for x in self.site.ends(*names)}) == len(names), 60)
        assert {x.outcome for x in self.site.ends(*names)} == {"succeeded"}
        assert len(self.site.ends(*names)) == len(names)


@pytest.fixture
async def data(site):  # noqa: F811
    one = Data(site)
    yield one
    one.granting.cancel()


PHASES = {
    "fetching": lambda d: list(d.cache.glob("*/tree/**/*db.tgz*")),
    "unpacking": lambda d: len(list(d.cache.glob("*/tree/**/f*"))) > 20,
    "linking": lambda d: list(d.root.glob("w1/attempts/a-*/resource/f*")),
    "fetching the input": lambda d: list(d.root.glob("w1/attempts/a-*/input/*")),
    "delivering": lambda d: list(d.out.glob(".longshore/*/*")),
    "publishing": lambda d: list(d.out.glob("*-*")),
}


async def killed_while(data, phase):
    yard = data.site
    yard.start("spawner")
    agent = yard.start_agent(LONGSHORE_BANDWIDTH_DOWN="8M", **data.environ)
    names = await data.assign(4)
    deadline = asyncio.get_running_loop().time() + 20
    while not PHASES[phase](data):
        assert asyncio.get_running_loop().time() < deadline, f"never seen {phase}"
        await asyncio.sleep(0)
    kill(agent)
    yard.start_agent(**data.environ)
    await data.ended(names)
    await until(lambda: list(data.cache.glob("*/index")))
    data.check(names)


@pytest.mark.parametrize("phase", PHASES)
async def test_killed_while(data, phase):
    await killed_while(data, phase)


@pytest.mark.parametrize("phase", ["delivering", "publishing"])
async def test_killed_while_to_s3(site, tmp_path, phase):  # noqa: F811
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    server = Server("rclone", tmp_path / "s3").start()
    try:
        data = Data(site, "s3://bucket/out", tmp_path / "s3/bucket/out", server.environ)
        await killed_while(data, phase)
        data.granting.cancel()
    finally:
        server.stop()


async def test_stored_output_is_swept_and_progress_answered_with_the_credentials_of_a_worker(site):  # noqa: F811
    site.start("spawner")
    site.start_agent()
    (name,) = await site.assign("sh", "-c", "head -c 100000 /dev/zero")
    await until(lambda: site.ends(name))
    api = await site.server.connect("api")
    assert await api.hints.ask(subjects.ask_progress("w1"), b"{}", deadline=5) == b"{}"
    start, spec = e.Start(0, 1), TaskSpec(command=("x",))
    order = e.Order(submission=site.n, spec=spec, batch="b", user="u", starts=(start,))
    await site.dispatcher.log.append(Entry(e.SweepOrdered(what="logs", orders=(order,)), "w1", "sweep"))
    assert (await until(lambda: site.events(e.SweepDone)))[0].removed == 1


@pytest.mark.chaos
async def test_killed_again_and_again_while_two_hundred_attempts_are_in_flight(data):
    yard = data.site
    yard.start("spawner")
    agent = yard.start_agent(LONGSHORE_CONCURRENCY="8")
    names = await data.assign(200)
    for k in range(6):
        await until(lambda k=k: len(yard.ends(*names)) >= 20 * k, 60)
        kill(agent)
        agent = yard.start_agent(LONGSHORE_CONCURRENCY="8")
    await data.ended(names)
    await until(lambda: list(data.cache.glob("*/index")))
    data.check(names)
