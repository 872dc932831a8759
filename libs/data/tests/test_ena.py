"""`run+fastq://` and `run+submitted://`: reports in ENA's format, files by https, ftp or SRA, each checked by its MD5."""

import asyncio
import csv
import gzip
import hashlib
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from longshore_data import uri
from longshore_data.meter import Limits, Meter
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.stores.ena import EnaStore, Nets
from longshore_data.stores.ftp import FtpStore
from longshore_data.stores.http import HttpStore
from longshore_data.stores.patience import Patience
from longshore_data.transfer import Transfer

from .servers import Fault, FtpServer, HttpServer, Served

QUICK = Patience(tries=2, first=0.001, longest=0.002, connect=2, silence=0.5)
DATA = [b"orphans", b"read one" * 40_000, b"read two" * 50_000, b"submitted"]
FOLDER = "/vol1/fastq/SRR900/SRR900001"
PATHS = [f"{FOLDER}/SRR900001{end}.fastq.gz" for end in ("", "_1", "_2")] + [
    "/vol1/run/SRR900/SRR900001/gut%20sample.bam"
]
#: What stands in for sra-tools, which need objects of SRA's own format: it writes what fasterq-dump writes.
FASTERQ_DUMP = """#!/bin/sh
set -e
while [ $# -gt 1 ]; do case $1 in --outdir) out=$2; shift;; --temp) shift;; esac; shift; done
run=$(basename "$1")
grep -q readable "$1" || { echo "err: '$1' is not an SRA object" >&2; exit 3; }
printf '@r/1\\nACGT\\n' > "$out/${run}_1.fastq"
printf '@r/2\\nTTTT\\n' > "$out/${run}_2.fastq"
echo dumped >> "$DUMPS"
"""


class World(NamedTuple):
    """The archives on loopback."""

    web: HttpServer
    ftp: FtpServer
    store: EnaStore
    environ: dict[str, str]
    dumps: Path

    def report(self, name: str, data: list[bytes] = DATA) -> None:
        text = (Path(__file__).parent / "ena" / name).read_text()
        for k, one in enumerate(data):
            text = text.replace(f"@{k}", hashlib.md5(one).hexdigest()).replace(f"#{k}", str(len(one)))
        self.web.paths["/filereport"] = Served(text.encode(), ranges=False, etag="")

    def served(self, path: str, data: bytes) -> Served:
        made = self.web.paths[f"/files{path}"] = Served(data)
        return made

    def asked(self, start: str) -> list[str]:
        return [r.path for r in self.web.requests if r.path.startswith(start)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    web, ftp = await HttpServer().start(), FtpServer(tmp_path / "ftp")
    (tmp_path / "bin").mkdir()
    environ = {
        "LONGSHORE_ENA_URL": web.url("/filereport"), "LONGSHORE_ENA_HTTPS": web.url("/files"),
        "LONGSHORE_ENA_FTP": f"ftp://127.0.0.1:{ftp.port}", "LONGSHORE_SRA_URL": web.url("/sra"),
        "LONGSHORE_RUNINFO_URL": web.url("/runinfo"), "PATH": f"{tmp_path}/bin:/usr/bin:/bin",
        "DUMPS": str(tmp_path / "dumps"),
    }  # fmt: skip
    nets = Nets({name: HttpStore({}, patience=QUICK) for name in ("https", "report")})
    nets["ftp"] = FtpStore(patience=QUICK)
    made = World(web, ftp, EnaStore(environ, nets), environ, tmp_path / "dumps")
    made.report("paired.json")
    for path, data in zip(PATHS, DATA, strict=True):
        made.served(path, data)
    yield made
    await made.store.close()
    for name in ("https", "ftp"):
        await nets[name].close()
    await web.stop()
    ftp.kill()


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def install(tmp_path: Path) -> None:
    program = tmp_path / "bin/fasterq-dump"
    program.write_text(FASTERQ_DUMP)
    program.chmod(0o755)


async def brought(world: World, text: str, into: Path) -> dict[str, bytes]:
    """What lands of a URI, by the same door that tasks use."""
    source = uri.source(text)
    storage = Storage({}, stores={source.place.scheme: world.store})
    await Transfer(storage, Limits(4)).bring([source], str(into))
    return {name: (into / name).read_bytes() for name in sorted(os.listdir(into))}


async def refused(world: World, text: str, into: Path) -> StoreError:
    with pytest.raises(StoreError) as err:
        await brought(world, text, into)
    assert [n for n in os.listdir(into) if (into / n).is_file()] == []
    return err.value


def names(*numbers: int) -> list[str]:
    return [PATHS[k].rpartition("/")[2] for k in numbers]


async def test_all_files_of_a_run_come_by_https(world: World, into: Path) -> None:
    assert await brought(world, "run+fastq://SRR900001", into) == dict(zip(names(0, 1, 2), DATA, strict=False))
    assert len(world.asked("/filereport")) == 1
    assert "accession=SRR900001&result=read_run&fields=fastq_ftp," in world.asked("/filereport")[0]


async def test_a_listing_tells_sizes_and_the_md5_as_version(world: World) -> None:
    found = await world.store.listing(uri.parse("run+fastq://SRR900001"))
    md5 = [hashlib.md5(data).hexdigest() for data in DATA]
    assert [(f.size, f.version, f.md5) for f in found] == [(len(DATA[k]), md5[k], md5[k]) for k in range(3)]


async def test_filter_r1_keeps_the_first_reads_or_the_one_file_of_a_single_run(world: World, into: Path) -> None:
    assert list(await brought(world, "run+fastq@filter_r1://SRR900001", into)) == names(1)
    world.report("single.json")
    found = await world.store.with_options(("filter_r1",)).listing(uri.parse("run+fastq://ERR900002"))
    assert [f.path for f in found] == ["ERR900002.fastq.gz"]


async def test_submitted_files_come_under_their_names(world: World, into: Path) -> None:
    assert await brought(world, "run+submitted://SRR900001", into) == {"gut sample.bam": DATA[3]}


async def test_ftp_is_next_when_https_does_not_serve_it(world: World, into: Path) -> None:
    world.served(PATHS[1], b"").faults = [Fault(500)] * 9
    (world.ftp.root / FOLDER[1:]).mkdir(parents=True)
    (world.ftp.root / PATHS[1][1:]).write_bytes(DATA[1])
    world.ftp.start()
    assert (await brought(world, "run+fastq@filter_r1://SRR900001", into)) == {names(1)[0]: DATA[1]}


async def test_other_bytes_than_the_md5_says_never_land_and_the_next_way_is_tried(world: World, into: Path) -> None:
    world.served(PATHS[1], b"corrupt!" * 40_000)
    (world.ftp.root / FOLDER[1:]).mkdir(parents=True)
    (world.ftp.root / PATHS[1][1:]).write_bytes(b"corrupt too")
    world.ftp.start()
    err = await refused(world, "run+fastq@filter_r1://SRR900001", into)
    assert err.retriable
    assert "by https" in str(err)
    assert "by ftp" in str(err)
    assert "by sra" in str(err)
    assert str(err).count("has MD5") == 2
    (world.ftp.root / PATHS[1][1:]).write_bytes(DATA[1])
    assert (await brought(world, "run+fastq@filter_r1://SRR900001", into)) == {names(1)[0]: DATA[1]}


@pytest.mark.parametrize("way", ["https", "ftp"])
async def test_an_option_forces_its_way(world: World, into: Path, way: str) -> None:
    world.served(PATHS[1], b"corrupt!")
    err = await refused(world, f"run+fastq@{way}@filter_r1://SRR900001", into)
    assert f"by {way}" in str(err)
    assert str(err).count("; by") == 0
    assert bool(world.asked("/files")) is (way == "https")


async def test_aspera_is_refused_with_the_fix(world: World, into: Path) -> None:
    err = await refused(world, "run+fastq@aspera://SRR900001", into)
    assert "@https" in str(err)
    assert not err.retriable


@pytest.mark.parametrize("silence", [
    Served(b"[]"), Served(b""), Served(faults=[Fault(204)] * 9), Served(faults=[Fault(500)] * 9),
    Served(faults=[Fault(hang=0)] * 9, data=b"x"), Served(b"<html>busy</html>"),
], ids=["empty list", "empty", "204", "500", "silent", "nonsense"])  # fmt: skip
async def test_sra_gives_what_ena_does_not_know(world: World, tmp_path: Path, into: Path, silence: Served) -> None:
    install(tmp_path)
    silence.etag, silence.ranges = "", False
    world.web.paths["/filereport"] = silence
    runinfo(world, "PAIRED")
    world.web.paths["/sra/SRR900001/SRR900001"] = Served(b"readable")
    landed = await brought(world, "run+fastq://SRR900001", into)
    assert {n: gzip.decompress(d) for n, d in landed.items()} == {
        "SRR900001_1.fastq.gz": b"@r/1\nACGT\n", "SRR900001_2.fastq.gz": b"@r/2\nTTTT\n",
    }  # fmt: skip


def runinfo(world: World, layout: str) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["Run", "spots", "LibraryLayout"], ["SRR900001", "10", layout]])
    world.web.paths["/runinfo"] = Served(text.getvalue().encode())


async def test_sra_by_option_asks_ena_nothing_and_dumps_once_for_both_reads(
    world: World, tmp_path: Path, into: Path
) -> None:
    install(tmp_path)
    runinfo(world, "PAIRED")
    world.web.paths["/sra/SRR900001/SRR900001"] = Served(b"readable")
    assert list(await brought(world, "run+fastq@sra://SRR900001", into)) == names(1, 2)
    assert world.asked("/filereport") == []
    assert world.dumps.read_text() == "dumped\n"


async def test_what_sra_tools_said_is_in_the_error(world: World, tmp_path: Path, into: Path) -> None:
    install(tmp_path)
    runinfo(world, "PAIRED")
    world.web.paths["/sra/SRR900001/SRR900001"] = Served(b"garbage")
    err = await refused(world, "run+fastq@sra://SRR900001", into)
    assert "ended with 3" in str(err)
    assert "is not an SRA object" in str(err)
    assert os.listdir(into) == []


async def test_without_sra_tools_the_error_says_what_to_install(world: World, into: Path) -> None:
    world.environ["PATH"] = str(into)
    world.web.paths["/filereport"] = Served(b"[]", etag="")
    err = await refused(world, "run+fastq://SRR900001", into)
    assert "install sra-tools" in str(err)
    assert not err.retriable


async def test_a_run_that_nobody_knows_is_missing(world: World, tmp_path: Path, into: Path) -> None:
    install(tmp_path)
    world.web.paths["/filereport"] = Served(b"[]", etag="")
    world.web.paths["/runinfo"] = Served(b"Run,LibraryLayout\n", etag="")
    assert (await refused(world, "run+fastq://SRR900009", into)).missing
    err = await refused(world, "run+submitted://SRR900009", into)
    assert err.missing
    assert "run+fastq://" in str(err)


async def test_a_silent_ena_may_speak_later(world: World, into: Path) -> None:
    world.web.paths["/filereport"] = Served(faults=[Fault(503)] * 20)
    err = await refused(world, "run+fastq@https://SRR900001", into)
    assert err.retriable


async def test_a_fetch_is_cancelled_at_once_and_leaves_nothing(world: World, tmp_path: Path, into: Path) -> None:
    (tmp_path / "bin/fasterq-dump").write_text('#!/bin/sh\necho begun > "$DUMPS"\nsleep 60\n')
    (tmp_path / "bin/fasterq-dump").chmod(0o755)
    runinfo(world, "PAIRED")
    world.web.paths["/sra/SRR900001/SRR900001"] = Served(b"readable")
    world.served(PATHS[1], DATA[1]).faults = [Fault(hang=10)]
    place = uri.Location("run+fastq", "", "SRR900001/SRR900001_1.fastq.gz")
    loop = asyncio.get_running_loop()
    for way, begun in (("https", lambda: world.asked("/files")), ("sra", lambda: world.dumps.exists())):
        fetch = world.store.with_options((way,)).fetch(place, str(into / "f"), Meter())
        task = asyncio.ensure_future(fetch)
        async with asyncio.timeout(10):
            while not begun():
                await asyncio.sleep(0.005)
        began = loop.time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.time() - began < 1
        assert os.listdir(into) == []
