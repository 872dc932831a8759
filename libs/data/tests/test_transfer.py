"""Sources with options and actions, brought to a real directory: what lands, what is never fetched, what goes wrong how."""

import asyncio
import gzip
import io
import os
import re
import tarfile
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from longshore_common.errors import BadInput
from longshore_data import disk, uri
from longshore_data.actions import Expression
from longshore_data.globs import matches
from longshore_data.meter import UNMETERED, Limits, Meter
from longshore_data.rewriting import rewrite
from longshore_data.storage import Storage
from longshore_data.store import Found, Store, StoreError
from longshore_data.stores.file import FileStore
from longshore_data.transfer import Brought, Transfer
from longshore_data.uri import Location

ODD = [
    "with space",
    'quo\'te "x"',
    "été-日本語",
    "a#b?c%20&+",
    "pipe|gunzip",
    "*",
    "[x]",
    "-dash",
    "new\nline",
    "back\\slash",
]


@pytest.fixture
async def transfer() -> AsyncIterator[Transfer]:
    storage = Storage({})
    made = Transfer(storage, Limits())
    yield made
    await made.close()
    await storage.close()


def fill(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def target(tmp_path: Path) -> Path:
    made = tmp_path / f"target-{len(list(tmp_path.iterdir()))}"
    made.mkdir()
    return made


def tarred(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in files.items():
            z.writestr(name, data)
    return out.getvalue()


async def brought(transfer: Transfer, where: Path, *uris: str) -> dict[str, bytes]:
    await transfer.bring([uri.source(u) for u in uris], str(where))
    assert not [p for p in where.rglob("*") if p.name.startswith(disk.PART)]
    return tree(where)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("", ["db.tgz", "r.zip", "sub/a.fq.gz", "sub/b.FQ.GZ", "top.txt"]),
        ("|gunzip", ["db.tar", "r.zip", "sub/a.fq", "sub/b.FQ", "top.txt"]),
        ("|untar", ["d/x.gz", "d/y", "r.zip", "sub/a.fq.gz", "sub/b.FQ.GZ", "top.txt"]),
        ("|untar|gunzip", ["d/x", "d/y", "r.zip", "sub/a.fq", "sub/b.FQ", "top.txt"]),
        ("|unzip", ["db.tgz", "z/é", "sub/a.fq.gz", "sub/b.FQ.GZ", "top.txt"]),
        ("|mv:in/here", ["in/here/db.tgz", "in/here/r.zip", "in/here/sub/a.fq.gz", "in/here/sub/b.FQ.GZ", "in/here/top.txt"]),
        ("|glob:*.fq.gz|gunzip|rename:x.fastq", ["sub/x.fastq"]),
        ("|glob:!*.{gz,GZ,zip}|untar|glob:d/|mv:q", ["q/d/x.gz", "q/d/y"]),
        ("|rename:s/^sub.//|rename:s,[.]gz$,.bgz,|glob:*.bgz|gunzip", ["a.fq"]),
        ("|mv:m|glob:m/sub/*|gunzip|mv:n|rename:s/fq/fastq/", ["n/m/sub/a.fastq", "n/m/sub/b.FQ"]),
        ("|glob:top.txt|rename:s/(?i)T(.)/\\1t/g", ["otp.xtt"]),
        ("|glob:top.txt|rename:s/(.*)[.](.*)/\\2.\\1/", ["txt.top"]),
    ],
)  # fmt: skip
async def test_actions_are_done_in_the_order_written(
    transfer: Transfer, tmp_path: Path, chain: str, expected: list[str]
) -> None:
    files = {
        "db.tgz": tarred({"d/x.gz": gzip.compress(b"x"), "d/y": b"y"}),
        "r.zip": zipped({"z/é": b"z"}), "sub/a.fq.gz": gzip.compress(b"a"), "sub/b.FQ.GZ": gzip.compress(b"b"), "top.txt": b"t",
    }  # fmt: skip
    source = fill(tmp_path / "s", files)
    assert sorted(await brought(transfer, target(tmp_path), f"file://{source}/{chain}")) == sorted(expected)


segment = st.sampled_from(["a", "b", "ab.gz", "c.gz", "é b", "a.gz.gz", "x|y"])
chains = st.lists(
    st.sampled_from(
        ["gunzip", "mv:a", "mv:m/n", "glob:*.gz", "glob:!a*", "glob:a/", "glob:/*", "rename:z", "rename:s/a/q/",
         "rename:s/[.]gz//g"]
    ),
    max_size=4,
)  # fmt: skip


def modelled(files: dict[str, bytes], chain: list[str]) -> dict[str, bytes] | None:
    """What lands, by a pure function; None: an error. Names clash when there are bytes to be called so, not before."""
    pairs, fetched = list(files.items()), False
    for step in [*chain, ""]:
        if step in ("gunzip", "") or fetched:
            fetched = True
            if not pairs or uri.clashes(p for p, _ in pairs):
                return None
        if not step:
            break
        word, _, argument = step.partition(":")
        made: list[tuple[str, bytes]] = []
        chosen = [p for p, _ in pairs if p.endswith(".gz")] or [p for p, _ in pairs if len(pairs) == 1]
        if word == "gunzip" and not chosen:
            return None
        for path, data in pairs:
            if word == "gunzip" and path in chosen:
                if not data.startswith(b"\x1f\x8b"):
                    return None
                made.append((path.removesuffix(".gz"), gzip.decompress(data)))
            elif word == "gunzip":
                made.append((path, data))
            elif word == "mv":
                made.append((f"{argument}/{path}", data))
            elif word == "rename" and argument.startswith("s/"):
                _, regex, text, every = argument.split("/")
                made.append((re.sub(regex, text, path, count=0 if every else 1), data))
            elif word == "rename":
                made.append(("/".join([*path.split("/")[:-1], argument]), data))
            elif word != "glob" or matches(argument.lstrip("!"), path) != argument.startswith("!"):
                made.append((path, data))
        pairs = made
    return dict(pairs)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(segment, min_size=1, max_size=3).map("/".join), min_size=1, max_size=5, unique=True), chains)
def test_what_lands_is_what_the_model_says(paths: list[str], chain: list[str]) -> None:
    if uri.clashes(paths):
        return
    files: dict[str, bytes] = {}
    for path in paths:
        files[path] = path.encode()
        for _ in range(path.count(".gz", path.rfind("/") + 1)):
            files[path] = gzip.compress(files[path])

    async def run(root: Path) -> dict[str, bytes] | None:
        storage = Storage({})
        transfer = Transfer(storage, Limits())
        (root / "t").mkdir()
        try:
            return await brought(transfer, root / "t", "|".join([f"file://{fill(root / 's', files)}/", *chain]))
        except (StoreError, BadInput) as err:
            note(f"refused: {err}")
            assert list((root / "t").glob(".*")) == []
            return None
        finally:
            await transfer.close()
            await storage.close()

    with tempfile.TemporaryDirectory() as root:
        assert asyncio.run(run(Path(root))) == modelled(files, chain)


async def test_files_that_are_unpacked_at_once_do_not_see_each_other(transfer: Transfer, tmp_path: Path) -> None:
    """What one holds may be called as another is called until it is unpacked; and all at the top may be gone for a moment."""
    twice = gzip.compress(gzip.compress(b"x"))
    source = fill(tmp_path / "s", {"x.gz.gz": twice, "x.gz": gzip.compress(b"y"), "z.gz": gzip.compress(b"z")})
    landed = await brought(transfer, target(tmp_path), f"file://{source}/|gunzip")
    assert landed == {"x.gz": gzip.decompress(twice), "x": b"y", "z": b"z"}


class Watched(FileStore):
    """A file store that tells what was fetched; it can be slow, and can see a file change."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.on_fetch: Callable[[Location], None] = lambda source: None

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        self.fetched.append(source.name)
        self.on_fetch(source)
        return await super().fetch(source, target, meter)


async def test_nothing_is_fetched_that_a_glob_before_the_unpacking_leaves_out(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"a.gz": gzip.compress(b"a"), "b.gz": b"no gzip at all", "c": b"c"})
    store = Watched()
    transfer = Transfer(Storage({}, stores={"file": store}), Limits())
    meter = Meter()
    found = uri.source(f"file://{source}/|mv:x|glob:x/*.gz|glob:!b.gz|gunzip")
    landed = await transfer.bring_one(found, str(target(tmp_path)), meter)
    assert store.fetched == ["a.gz"]
    assert landed == Brought(await transfer.identity(found), 1, 1)
    assert meter.progress().total == meter.done == (source / "a.gz").stat().st_size
    await store.close()


async def test_odd_names_come_through_and_links_to_files_are_their_files(transfer: Transfer, tmp_path: Path) -> None:
    files = {f"d/{name}": name.encode() for name in ODD}
    source = fill(tmp_path / "s", files)
    (source / "link").symlink_to("d/with space")
    (source / "dangling").symlink_to("nowhere")
    os.mkfifo(source / "pipe")
    assert await brought(transfer, target(tmp_path), f"file://{source}/") == {**files, "link": b"with space"}
    packed = target(tmp_path)
    (tmp_path / "a.tar").write_bytes(tarred(files, "w"))
    assert await brought(transfer, packed, f"file://{tmp_path}/a.tar|untar|rename:s/^d/e/") == {
        f"e/{name}": name.encode() for name in ODD
    }
    for name in ODD:
        if "|" not in name:
            assert await brought(transfer, target(tmp_path), f"file://{source}/d/{name}") == {name: name.encode()}
    assert await brought(transfer, target(tmp_path), f"file://{source}/|glob:pipe[|]gunzip") == {
        "d/pipe|gunzip": b"pipe|gunzip"
    }


async def test_two_sources_never_mix_and_clash_only_in_what_lands(transfer: Transfer, tmp_path: Path) -> None:
    one = fill(tmp_path / "1", {"a.tar": tarred({"x": b"1"}, "w")}) / "a.tar"
    two = fill(tmp_path / "2", {"a.tar": tarred({"x": b"2"}, "w")}) / "a.tar"
    expected = {"x": b"1", "q/x": b"2"}
    assert await brought(transfer, target(tmp_path), f"file://{one}|untar", f"file://{two}|untar|mv:q") == expected
    where = target(tmp_path)
    with pytest.raises(StoreError, match=f"two inputs would both be called 'x': file://{one}|untar and file://{two}"):
        await transfer.bring([uri.source(f"file://{p}|untar") for p in (one, two)], str(where), UNMETERED, "input")
    assert tree(where) == {}
    assert list(where.iterdir()) == []
    with pytest.raises(StoreError, match="both be called 'x'"):
        await brought(transfer, where, f"file://{one}|untar", f"file://{two}|rename:x")


async def test_an_archive_that_holds_a_name_that_is_there_is_refused(transfer: Transfer, tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"a.tar": tarred({"x": b"1"}, "w"), "x": b"2", "y.gz": gzip.compress(b""), "y": b""})
    with pytest.raises(StoreError, match="both be called 'x'"):
        await brought(transfer, target(tmp_path), f"file://{source}/|untar")
    with pytest.raises(StoreError, match="both be called 'y'"):
        await brought(transfer, target(tmp_path), f"file://{source}/|gunzip")


async def test_a_repeat_after_a_crash_does_no_harm(transfer: Transfer, tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"a.tar": tarred({"x/y": b"1", "x/z": b"2"}, "w"), "b": b"b"})
    where = target(tmp_path)
    texts = (f"file://{source}/a.tar|untar", f"file://{source}/b")
    first = await brought(transfer, where, *texts)
    plan = await transfer.plan(uri.source(texts[0]))
    fill(where / plan.scratch / "tree", {"old": b"x"})  # what an agent that died leaves behind
    fill(where / "x", {f"{disk.PART}b": b"half", "y": b"half"})
    assert await brought(transfer, where, *texts) == first


@pytest.mark.parametrize(
    ("data", "chain", "words"),
    [
        (tarred({"x": b"x" * 9999}, "w")[:4000], "|untar", "a.tar ends too early"),
        (b"hello" * 200, "|untar", "a.tar is damaged"),
        (b"hello" * 200, "|gunzip", "a.tar is damaged"),
        (b"hello" * 200, "|unzip", "a.tar is no whole zip archive"),
        (tarred({"../x": b""}, "w"), "|mv:q|untar", "'../x' leads out"),
        (tarred({".longshore/x": b""}, "w"), "|untar", "are ours"),
        (tarred({"x": b"", "y": b""}, "w"), "|untar|unzip", "none of 2 files ('x', 'y'…) is named like one to unzip"),
        (tarred({"x": b"", "y": b""}, "w"), "|untar|glob:z", "none is left"),
        (tarred({"x": b""}, "w"), "|untar|rename:s/x/../", "which is no path below the directory"),
        (b"", "|rename:s/.*/.longshore-part-1/", "are ours"),
        (b"", "|glob:z", "none is left: correct the |glob:"),
    ],
)  # fmt: skip
async def test_what_goes_wrong_names_the_source_the_step_and_the_file(
    transfer: Transfer, tmp_path: Path, data: bytes, chain: str, words: str
) -> None:
    source = fill(tmp_path / "s", {"a.tar": data}) / "a.tar"
    where = target(tmp_path)
    with pytest.raises((StoreError, BadInput)) as caught:
        await brought(transfer, where, f"file://{source}{chain}")
    assert words in str(caught.value)
    assert not getattr(caught.value, "retriable", False)
    if not isinstance(caught.value, BadInput):
        assert f"file://{source}{chain}" in str(caught.value)
    assert list(where.iterdir()) == []


async def test_a_wicked_expression_is_ended(tmp_path: Path) -> None:
    then = time.monotonic()
    with pytest.raises(BadInput, match=r"takes more than 0\.3 s for 1 paths"):
        await rewrite(Expression("(a|a)*b", "x", every=False), ["a" * 200], patience=0.3)
    assert time.monotonic() - then < 2
    assert await rewrite(Expression("[.]", "", every=True), ["a.b.c\udcff", "x"]) == ["abc\udcff", "x"]
    assert await rewrite(Expression("[.]", "", every=False), []) == []


async def test_what_the_only_file_is_called_does_not_matter(transfer: Transfer, tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"download": tarred({"x": b"1"}), "g": gzip.compress(b"2")})
    assert await brought(transfer, target(tmp_path), f"file://{source}/download|untar") == {"x": b"1"}
    assert await brought(transfer, target(tmp_path), f"file://{source}/g|gunzip") == {"g": b"2"}


async def test_links_and_empty_folders_of_an_archive_land_and_none_leads_out_after_a_rename(
    transfer: Transfer, tmp_path: Path
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, link in (
            ("d/e", tarfile.DIRTYPE, ""),
            ("d/f", tarfile.REGTYPE, ""),
            ("d/l", tarfile.SYMTYPE, "../d/f"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            tar.addfile(info)
    source = fill(tmp_path / "s", {"a.tar": out.getvalue()})
    where = target(tmp_path)
    await brought(transfer, where, f"file://{source}/a.tar|untar|mv:q")
    assert (where / "q/d/e").is_dir()
    assert os.readlink(where / "q/d/l") == "../d/f"
    with pytest.raises(StoreError, match="leads out"):
        await brought(transfer, target(tmp_path), f"file://{source}/a.tar|untar|rename:s,d/,,")


async def test_the_identity_changes_with_the_bytes_the_actions_and_the_names_only(
    transfer: Transfer, tmp_path: Path
) -> None:
    source = fill(tmp_path / "s", {"a": b"1", "b": b"2"})
    text = f"file://{source}/"
    seen = {await transfer.identity(uri.source(text + chain)) for chain in ("", "|mv:x", "|glob:a")}
    assert len(seen) == 3
    assert await transfer.identity(uri.source(text)) in seen
    assert (await transfer.bring_one(uri.source(text), str(target(tmp_path)))).version in seen
    (source / "a").write_bytes(b"3")
    assert await transfer.identity(uri.source(text)) not in seen
    with pytest.raises(StoreError) as caught:
        await transfer.identity(uri.source(f"file://{tmp_path}/none"))
    assert caught.value.missing


async def test_a_source_that_changes_while_it_is_fetched_is_fetched_again(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"a": b"1"})
    store = Watched()
    store.on_fetch = lambda _: (source / "a").write_bytes(b"other")  # type: ignore[assignment,return-value]
    transfer = Transfer(Storage({}, stores={"file": store}), Limits())
    with pytest.raises(StoreError, match="changed meanwhile") as caught:
        await transfer.bring_one(uri.source(f"file://{source}/a"), str(target(tmp_path)))
    assert caught.value.retriable
    await store.close()


async def test_the_size_of_a_single_file_is_asked_for_when_it_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longshore_data.transfer.ASK_AFTER", 0.0)
    source = fill(tmp_path / "s", {"a": b"12345"})
    meter = Meter()

    class Slow(FileStore):
        async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
            while not meter.total:
                await asyncio.sleep(0.001)
            return await super().fetch(source, target, meter)

    store = Slow()
    transfer = Transfer(Storage({}, stores={"ftp": store}), Limits())
    found = uri.source("ftp://h/x")._replace(place=Location("ftp", "", str(source / "a")))
    await asyncio.wait_for(transfer.bring([found], str(target(tmp_path)), meter), 5)
    assert meter.progress()[:2] == (5, 5)
    await store.close()


async def test_progress_of_a_second_try_ends_at_its_total(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"a": b"12345", "b": b"123", "c": b"1"})
    store, meter, where = Watched(), Meter(), target(tmp_path)

    def fail(place: Location) -> None:
        if place.name == "b":
            raise StoreError("not now", retriable=True)

    store.on_fetch = fail
    transfer = Transfer(Storage({}, stores={"file": store}), Limits())
    for _ in range(2):
        with pytest.raises(StoreError):
            await transfer.bring([uri.source(f"file://{source}/")], str(where), meter)
        assert meter.total == meter.done
    store.on_fetch = lambda _: None
    await transfer.bring([uri.source(f"file://{source}/")], str(where), meter)
    assert meter.total == meter.done >= 9
    await store.close()


class Mute(FileStore):
    """Storage that says neither sizes nor versions, and takes options."""

    options: tuple[str, ...] = ()

    async def listing(self, folder: Location) -> list[Found]:
        return [Found(f.path, -1) for f in await super().listing(folder._replace(scheme="file"))]

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        return await super().fetch(source, target, meter)

    def with_options(self, options: tuple[str, ...]) -> Store:
        self.options = options
        return self


async def test_storage_that_says_nothing_has_no_identity_and_options_reach_it(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {"a": b"12345"})
    store = Mute()
    transfer = Transfer(Storage({}, stores={"ftp": store}), Limits())
    found = uri.source("ftp@aria2://h/x/")._replace(place=Location("ftp", "", str(source), folder=True))
    assert await transfer.identity(found) == ""
    assert store.options == ("aria2",)
    meter = Meter()
    await transfer.bring([found], str(target(tmp_path)), meter)
    assert meter.progress()[:2] == (5, 5)
    await store.close()


@pytest.mark.parametrize("number", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_many_files_of_a_folder_take_seconds(transfer: Transfer, tmp_path: Path, number: int) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for name in range(number):
        (source / f"{name}").write_bytes(b"x" * 100)
    where = target(tmp_path)
    then = time.process_time()
    await transfer.bring([uri.source(f"file://{source}/")], str(where))
    assert time.process_time() - then < 10  # of CPU: 1.4 s for 10,000 on two idle cores, and of wall
    assert len(list(where.iterdir())) == number


async def test_a_cancelled_call_ends_within_a_second_in_every_phase(tmp_path: Path) -> None:
    zeros = gzip.compress(bytes(1 << 20), 1) * 3000
    source = fill(tmp_path / "s", {"a.gz": zeros})
    for chain, phase in (("|gunzip", "made-"), ("|rename:s/(a|a)*b/x/", "")):
        storage = Storage({})
        transfer = Transfer(storage, Limits())
        where = target(tmp_path)
        name = "a.gz" if phase else "a" * 100
        (source / name).touch()
        running = asyncio.ensure_future(transfer.bring([uri.source(f"file://{source}/{name}{chain}")], str(where)))
        deadline = time.monotonic() + 5
        while phase and not list(where.glob(f"*/{phase}*/*")) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        then = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert time.monotonic() - then < 1
        await transfer.close()
        await storage.close()


async def test_the_host_s_turns_hold_for_all_transfers_together(tmp_path: Path) -> None:
    source = fill(tmp_path / "s", {str(n): b"x" for n in range(30)})
    limits, at_once, most = Limits(turns=3), 0, 0

    class Counting(FileStore):
        async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            size = await super().fetch(source, target, meter)
            at_once -= 1
            return size

    store = Counting()
    storage = Storage({}, stores={"file": store})
    found = uri.source(f"file://{source}/")
    await asyncio.gather(*(Transfer(storage, limits).bring([found], str(target(tmp_path))) for _ in range(3)))
    assert most == 3
    await store.close()


async def test_a_full_disk_is_told_as_such(tmp_path: Path, transfer: Transfer) -> None:
    info = tarfile.TarInfo("x")
    info.size = 1 << 60
    source = fill(tmp_path / "s", {"a.tar": info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)})
    with pytest.raises(StoreError, match=r"a\.tar\|untar: unpacking needs .* free space") as caught:
        await brought(transfer, target(tmp_path), f"file://{source}/a.tar|untar")
    assert (caught.value.disk_full, caught.value.retriable) == (True, True)
