"""Local files into storage that workers reach, once by content: a file that is there already is not sent again.

They go to `<store>/.longshore/inputs/<batch>/<sha256>/<name>`; a folder to `…/<sha256 of its names and digests>/`. Batches do
not share, so that the retention of one takes nothing from another. What must not enter: which words are paths.
"""

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from longshore_common.errors import BadInput, Unreachable
from longshore_data import uri
from longshore_data.configuration import own_remotes
from longshore_data.meter import UNMETERED, Limits
from longshore_data.parallel import each
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.uri import Location

#: Files at once.
WIDTH: Final = 8
_PIECE: Final = 1 << 20


class Local(NamedTuple):
    """A local file and its path below the folder that was named ("" if it was named itself)."""

    path: Path
    below: str
    digest: str


class Uploaded(NamedTuple):
    """Where each word is now, how many files were sent, and how many were there already."""

    uris: dict[str, str]
    sent: int = 0
    known: int = 0


class Store(NamedTuple):
    """Where to put them: a folder that workers reach (a URI), and the batch they are for."""

    folder: str
    batch: str = "default"


def upload(words: Sequence[str], store: Store, environ: Mapping[str, str], *, dry: bool = False) -> Uploaded:
    """Have the files and folders at these local paths in `store`; `dry`: only say where they would be.

    A path that is neither is left out. `BadInput` names the fix, `Unreachable` if a repeat may help.
    """
    if not store.folder:
        raise BadInput("--upload needs a place that workers reach: set LONGSHORE_STORE, such as s3://bucket/longshore/")
    folder = uri.parse_output(store.folder).below(f"{uri.RESERVED}/inputs/{store.batch}", folder=True)
    paths = [word for word in dict.fromkeys(words) if "://" not in word]
    return asyncio.run(_upload(paths, folder, environ, dry=dry))


async def _upload(words: Sequence[str], folder: Location, environ: Mapping[str, str], *, dry: bool) -> Uploaded:
    storage = Storage(environ, own_remotes(environ))
    limits = Limits(WIDTH)
    uris: dict[str, str] = {}
    sent = known = 0
    try:
        for word in words:
            files = await asyncio.to_thread(_described, word)
            place = folder.below(_key(files), folder=True)
            for file in files:
                uri.safe_path(file.below or file.path.name)
            uris[word] = str(place if Path(word).is_dir() else place.below(files[0].path.name))
            if not dry:
                new = await each(files, lambda file, place=place: _sent(storage, limits, file, place), WIDTH)  # type: ignore[misc]
                sent, known = sent + sum(new), known + len(new) - sum(new)
    except StoreError as err:
        raise Unreachable(f"{err} (a retry may help)") if err.retriable else err from None
    finally:
        await storage.close()
    return Uploaded(uris, sent, known)


async def _sent(storage: Storage, limits: Limits, file: Local, place: Location) -> bool:
    """Whether it had to be sent. One of the same name, content and size is the same."""
    target = place.below(file.below or file.path.name)
    store = storage.of(target)
    try:
        found = await store.stat(target)
    except StoreError as err:
        if not err.missing:
            raise
    else:
        if found.size == file.path.stat().st_size:
            return False
    async with limits.turns:
        put = await store.put(str(file.path), target, UNMETERED)
    if put.digest != file.digest:
        raise StoreError(f"{file.path} changed while it was uploaded: submit again", retriable=True)
    return True


def _described(word: str) -> list[Local]:
    """The file, or every file below the folder, by name."""
    path = Path(word)
    try:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file())
            if not found:
                raise BadInput(f"{word} holds no files: there is nothing to upload")
            return [Local(p, str(p.relative_to(path)), _digest(p)) for p in found]
        return [Local(path, "", _digest(path))]
    except OSError as err:
        raise BadInput(f"{word} cannot be read: {err.strerror}") from err


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _key(files: Sequence[Local]) -> str:
    """One file: its digest. A folder: that of its paths and digests."""
    if len(files) == 1 and not files[0].below:
        return files[0].digest
    lines = "".join(f"{file.below}\0{file.digest}\n" for file in files)
    return hashlib.sha256(os.fsencode(lines)).hexdigest()
