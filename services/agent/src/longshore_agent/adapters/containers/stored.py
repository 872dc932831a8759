"""Images that are files in storage: `s3://bucket/images/psi4.tar.gz@sha256:…`, as `docker save` writes them.

For hosts without a registry. A file is fetched and loaded once per host; a pin (the image's id) is verified and, where the
host has that image already, nothing is fetched. What must not enter: registries, containers.
"""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from typing import IO, TYPE_CHECKING, Final, NamedTuple, cast

import msgspec
import structlog

from longshore_agent.core.ports import ContainerError
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput
from longshore_common.model import Pull, resource_key
from longshore_data import uri
from longshore_data.store import Found, StoreError
from longshore_data.transfer import Transfer
from longshore_data.uri import Location, Source

if TYPE_CHECKING:
    from aiodocker import Docker

#: Seconds for a load as a whole, and in which the engine says nothing: it answers when it has all of it.
LOAD: Final = 3600.0
CHUNK: Final = 1 << 20
ENDINGS: Final = (".tar", ".tar.gz", ".tgz", ".tar.zst")
_PIN: Final = re.compile(r"@(sha256:[0-9a-f]{64})$")
_LOADED: Final = re.compile(r"Loaded image(?: ID)?(?:\(s\))?: *(.+)")
_HINT: Final = " (is it what `docker save` writes?)"

_log = structlog.get_logger()


class _Known(msgspec.Struct, frozen=True):
    """An image that was loaded: from which version of its file, and its id."""

    version: str
    image: str


class Reference(NamedTuple):
    """What a spec names: the file, and the id that the image must have, empty if any will do."""

    source: Source
    pin: str


def is_stored(image: str) -> bool:
    """Whether this names a file in storage rather than an image of a registry."""
    return "://" in image


def reference(image: str) -> Reference:
    """`ContainerError` (image) names the fix."""
    match = _PIN.search(image)
    try:
        source = uri.source(image[: match.start()] if match else image)
    except BadInput as err:
        raise ContainerError("image", str(err)) from err
    if source.actions or source.place.folder or not source.place.name.endswith(ENDINGS):
        raise ContainerError("image", f"{image}: name one file that ends in {', '.join(ENDINGS)}, with no action")
    return Reference(source, match.group(1) if match else "")


class StoredImages:
    """Images from storage. `directory` is ours: it holds what is being fetched, and what is known (`images.json`)."""

    def __init__(self, transfer: Transfer, directory: str) -> None:
        self._transfer, self._directory = transfer, directory
        self._known: dict[str, _Known] | None = None

    async def have(self, docker: "Docker", image: str, pull: Pull) -> str:
        """The id of the image, which is on this host when this returns. `ContainerError` (image)."""
        what = reference(image)
        if what.pin and await _id(docker, what.pin):
            return what.pin
        known = self._remembered().get(str(what.source))
        held = known is not None and await _id(docker, known.image) == known.image
        if held and known and pull != "always" and what.pin in ("", known.image):
            return known.image
        if pull == "never":
            raise ContainerError("image", f"{image} is not on this host, and the task says never to fetch it")
        try:
            found: Found = await self._transfer.storage.of(what.source.place).stat(what.source.place)
            if held and known and found.version and found.version == known.version and what.pin in ("", known.image):
                return known.image
            return await self._fetched(docker, what, found)
        except (StoreError, BadInput) as err:
            raise ContainerError("image", str(err)) from err

    async def _fetched(self, docker: "Docker", what: Reference, found: Found) -> str:
        """Fetch, load, verify, remember."""
        folder = f"{self._directory}/image-{resource_key(str(what.source))}"
        os.makedirs(folder, exist_ok=True)
        try:
            await self._transfer.bring([what.source], folder)
            identity = await self._load(docker, what, f"{folder}/{what.source.place.name}")
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await _name(docker, identity, what.source.place.name)
        self._remember(str(what.source), _Known(found.version, identity))
        _log.info("image-loaded", source=str(what.source), image=identity, bytes=found.size)
        return identity

    async def _load(self, docker: "Docker", what: Reference, path: str) -> str:
        from aiodocker import DockerError
        from aiohttp import ClientTimeout

        said: list[str] = []
        limit = ClientTimeout(total=LOAD)
        headers = {"Content-Type": "application/x-tar"}
        try:
            async with docker._query(
                "images/load", "POST", params={"quiet": 1}, data=_bytes(path), headers=headers, timeout=limit
            ) as answer:
                async for line in answer.content:
                    said += _said(what.source.place, line)
        except (OSError, EOFError, ValueError) as err:
            raise ContainerError("image", f"{what.source} cannot be unpacked: {err}") from err
        except DockerError as err:
            raise ContainerError("image", f"{what.source} cannot be loaded: {err.message}{_HINT}") from None
        except TimeoutError as err:
            raise ContainerError("image", f"{what.source} was not loaded within {LOAD:.0f} s") from err
        found = [i for name in said if (i := await _id(docker, name))]
        return _chosen(what, list(dict.fromkeys(found)))

    def loaded(self) -> set[str]:
        """Ids of the images that came from storage."""
        return {known.image for known in self._remembered().values()}

    def _remembered(self) -> dict[str, _Known]:
        if self._known is None:
            try:
                with open(f"{self._directory}/images.json", "rb") as file:
                    self._known = msgspec.json.decode(file.read(), type=dict[str, _Known])
            except (OSError, *DAMAGED):
                self._known = {}  # costs one more load
        return self._known

    def _remember(self, source: str, known: _Known) -> None:
        all_known = self._remembered()
        all_known[source] = known
        path = f"{self._directory}/images.json"
        with open(f"{path}.new", "wb") as file:
            file.write(msgspec.json.encode(all_known))
        os.replace(f"{path}.new", path)


def _chosen(what: Reference, found: list[str]) -> str:
    """The image that is meant, of those that the file held."""
    if what.pin:
        if what.pin in found:
            return what.pin
        raise ContainerError("image", f"{what.source} holds {' and '.join(found) or 'no image'}, not {what.pin}")
    if len(found) != 1:
        words = f"{len(found)} images ({', '.join(found)}): pin one by @sha256:…" if found else f"no image{_HINT}"
        raise ContainerError("image", f"{what.source} holds {words}")
    return found[0]


async def _id(docker: "Docker", name: str) -> str:
    """The id of an image, empty if the engine has none of that name."""
    from aiodocker import DockerError

    try:
        found = str((await docker.images.inspect(name))["Id"])
    except DockerError as err:
        if err.status != 404:
            raise
        return ""
    return found if found.startswith("sha256:") else f"sha256:{found}"


async def _name(docker: "Docker", identity: str, file: str) -> None:
    """A name for people, and so that no clean-up takes it for garbage."""
    repository = re.sub("[^a-z0-9]+", "-", file.lower().partition(".tar")[0]).strip("-") or "image"
    await docker.images.tag(identity, f"longshore-stored/{repository}", tag=identity.removeprefix("sha256:")[:12])


async def _bytes(path: str) -> AsyncIterator[bytes]:
    """The tar in a file, piece by piece: unpacked here, since not every engine's API knows gzip, and few know zstd."""
    file = await asyncio.to_thread(_opened, path)
    try:
        while piece := await asyncio.to_thread(file.read, CHUNK):
            yield piece
    finally:
        file.close()


def _opened(path: str) -> IO[bytes]:
    if path.endswith(".zst"):
        import zstandard

        return cast(IO[bytes], zstandard.open(path, "rb"))
    if path.endswith((".gz", ".tgz")):
        from isal import igzip_threaded

        return cast(IO[bytes], igzip_threaded.open(path, "rb"))  # type: ignore[no-untyped-call]
    return open(path, "rb")


def _said(place: Location, line: bytes) -> list[str]:
    """Names or ids that one line of the engine's answer tells; `ContainerError` if it tells an error."""
    try:
        told = msgspec.json.decode(line)
    except DAMAGED:
        return []
    if not isinstance(told, dict):
        return []
    if error := told.get("error"):
        raise ContainerError("image", f"{place} cannot be loaded: {error}{_HINT}")
    match = _LOADED.search(str(told.get("stream", "")))
    return [name.strip() for name in match.group(1).split(",")] if match else []
