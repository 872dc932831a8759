"""Saving an image into storage, with a small index beside it, and reading those indexes.

What must not enter: options and their words, loading images (agents do).
"""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Coroutine
from typing import IO, Any, Final, TypeVar, cast

import msgspec

from longshore.cli.printing import data, note, raw_lines, table
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput, LongshoreError, Unreachable
from longshore_data import uri
from longshore_data.configuration import own_remotes
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.uri import Location

ENGINES: Final = ("docker", "podman")
ENDINGS: Final = (".tar.gz", ".tar.zst", ".tar")
#: Seconds for an engine's answer, and for all of an image.
ANSWER: Final = 30
SAVE: Final = 3600
CHUNK: Final = 1 << 20
R = TypeVar("R")


class Index(msgspec.Struct, frozen=True):
    """What lies beside an image's file, as `<name>.json`.

    `image`: its id, which pins it. `digest`, `size`: of the file. `created`: when the image was made, as its engine says.
    """

    name: str
    file: str
    image: str
    digest: str
    size: int
    created: str


def published(image: str, dest: str, engine: str, *, as_json: bool) -> int:
    """Print the URI of what was published; the exit code."""
    place = uri.parse(dest)
    tool, identity, created = _found(image, engine)
    if place.folder:
        place = place.below(f"{_file_name(image)}.tar.gz")
    if not place.name.endswith(ENDINGS):
        raise BadInput(f"{dest!r}: name a folder (with / at its end) or a file that ends in {', '.join(ENDINGS)}")

    async def work(storage: Storage) -> Index:
        with tempfile.TemporaryDirectory(prefix="longshore-image-") as folder:
            path = f"{folder}/{place.name}"
            await asyncio.to_thread(_save, tool, identity, path)
            put = await storage.of(place).put(path, place)
        index = Index(image, place.name, identity, f"sha256:{put.digest}", put.size, created)
        await storage.of(place).put_bytes(msgspec.json.format(msgspec.json.encode(index)), _beside(place))
        return index

    index = _run(work)
    if as_json:
        raw_lines([msgspec.json.encode({"uri": f"{place}@{index.image}", **msgspec.to_builtins(index)})])
    else:
        data(f"{place}@{index.image}")
        note(f"{index.size} bytes; submit with --container and this URI")
    return 0


def listed(folder: str, *, as_json: bool) -> int:
    """Print the images below a folder; the exit code."""
    place = uri.parse(folder)
    if not place.folder:
        raise BadInput(f"{folder!r}: name a folder, with / at its end")

    async def work(storage: Storage) -> list[tuple[str, Index]]:
        store, found = storage.of(place), []
        for each in sorted(await store.listing(place)):
            if not each.path.endswith(".json") or uri.reserved(each.path):
                continue
            try:
                index = msgspec.json.decode(await store.read_bytes(place.below(each.path)), type=Index)
            except DAMAGED:
                continue  # somebody else's
            file = place.below(f"{each.path.rpartition('/')[0]}/{index.file}".lstrip("/"))
            found.append((f"{file}@{index.image}", index))
        return found

    rows = _run(work)
    if as_json:
        raw_lines(msgspec.json.encode({"uri": where, **msgspec.to_builtins(index)}) for where, index in rows)
    else:
        table(("name", "bytes", "created", "uri"), ((i.name, i.size, i.created, where) for where, i in rows))
    return 0


def _run(work: Callable[[Storage], Coroutine[Any, Any, R]]) -> R:
    async def doing() -> R:
        storage = Storage(os.environ, own_remotes(os.environ))
        try:
            return await work(storage)
        finally:
            await storage.close()

    try:
        return asyncio.run(doing())
    except StoreError as err:
        raise Unreachable(f"{err} (a retry may help)") if err.retriable else err from None


def _beside(place: Location) -> Location:
    """Where the index of an image's file is."""
    ending = next(e for e in ENDINGS if place.key.endswith(e))
    return place._replace(key=place.key.removesuffix(ending) + ".json")


def _file_name(image: str) -> str:
    """A file's name for an image's: `quay.io/x/psi4:1.5` is psi4-1.5."""
    last = image.partition("@")[0].rpartition("/")[2]
    return re.sub("[^A-Za-z0-9._-]+", "-", last).strip("-.") or "image"


def _found(image: str, engine: str) -> tuple[str, str, str]:
    """The engine's command, the image's id, and when it was made."""
    if engine and engine not in ENGINES:
        raise BadInput(f"--engine {engine}: there are {' and '.join(ENGINES)}")
    said = []
    for tool in [engine] if engine else ENGINES:
        if shutil.which(tool) is None:
            said.append(f"{tool} is not installed")
            continue
        form = "{{.Id}} {{json .Created}}"
        command = [tool, "image", "inspect", "--format", form, image]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, check=False)
        except subprocess.TimeoutExpired:
            said.append(f"{tool} does not answer within {ANSWER} s")
            continue
        if done.returncode == 0:
            identity, _, created = done.stdout.strip().partition(" ")
            return tool, f"sha256:{identity.removeprefix('sha256:')}", created.strip('"')
        said.append(f"{tool}: {done.stderr.strip() or 'it does not know it'}")
    raise LongshoreError(f"the image {image!r} cannot be published: {'; '.join(said)}")


def _save(tool: str, identity: str, path: str) -> None:
    """The image alone, without names that would move those of the host that loads it."""
    with subprocess.Popen([tool, "save", identity], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with _packed(path) as file:
                shutil.copyfileobj(process.stdout, file, CHUNK)
            words = process.stderr.read().decode(errors="replace").strip()
            code = process.wait(SAVE)
        except BaseException:
            process.kill()
            raise
    if code:
        raise LongshoreError(f"{tool} save {identity} failed: {words}")


def _packed(path: str) -> IO[bytes]:
    """A file to write a tar into, packed as its name says."""
    if path.endswith(".zst"):
        import zstandard

        return cast(IO[bytes], zstandard.open(path, "wb", cctx=zstandard.ZstdCompressor(level=3, threads=-1)))
    if path.endswith(".gz"):
        from isal import igzip_threaded

        return cast(IO[bytes], igzip_threaded.open(path, "wb", threads=1))  # type: ignore[no-untyped-call]
    return open(path, "wb")
