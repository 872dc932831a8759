"""Images: here, pulled from a registry, or loaded from storage, and what was had in the end.

What must not enter: containers, the life of attempts.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from longshore_agent.adapters.containers import credentials
from longshore_agent.adapters.containers.connection import REQUEST, Connection
from longshore_agent.adapters.containers.pruning import Brought, prune
from longshore_agent.adapters.containers.stored import StoredImages, is_stored
from longshore_agent.core.ports import ContainerError
from longshore_common.damage import DAMAGED
from longshore_common.model import Pull, TaskSpec

if TYPE_CHECKING:
    from aiodocker import Docker

#: Seconds for a pull as a whole, and for one in which nothing moves.
PULL: Final = 3600.0
STALL: Final = 300.0

_log = structlog.get_logger()


class Images:
    """The images of one engine. `stored` has those that are files in storage; None where there is no storage.

    `directory` is ours: what we brought to this host is noted there.
    """

    def __init__(
        self, connection: Connection, environ: Mapping[str, str], stored: StoredImages | None, directory: str
    ) -> None:
        self._connection, self._environ, self._stored = connection, environ, stored
        self._brought = Brought(directory)
        self._here: dict[str, str] = {}  # name in a spec -> what a container is made of
        self._pulls: dict[str, asyncio.Lock] = {}
        self._digests: dict[tuple[str, str], str] = {}

    async def prepare(self, spec: TaskSpec) -> None:
        """Have it here. Many that want one image wait for one pull. `ContainerError` (image) says whose words it is."""
        image = spec.container or ""
        if image in self._here and spec.pull != "always":
            return
        async with self._pulls.setdefault(image, asyncio.Lock()):
            if image in self._here and spec.pull != "always":
                return
            async with self._connection.ask("image") as (docker, _):
                if is_stored(image):
                    self._here[image] = await self._of_storage(docker, image, spec.pull)
                    _log.info("image-ready", image=image, digest=self._here[image])
                else:
                    known = await self._named(docker, image, spec.pull)
                    self._here[image] = image
                    _log.info("image-ready", image=image, digest=digest(known, image))

    def name(self, image: str) -> str:
        """What a container of this image is made of; known after `prepare`, or guessed from the name."""
        return self._here.get(image, image)

    async def digest(self, image: str) -> str:
        """What names exactly the image that is here by this name, as `ran` does; `ContainerError` (image) if none is."""
        async with self._connection.ask("image") as (docker, _):
            known = await here(docker, self.name(image))
            if known is None:
                raise ContainerError("image", f"the image {image!r} is not on this host any more")
            return digest(known, image)

    async def prune(self, keep: Iterable[str]) -> tuple[str, int]:
        """Remove what we brought and neither `keep` (names in specs) nor a container uses, and what has lost its name."""
        names = set(keep)
        async with self._connection.ask("host") as (docker, _):
            ours = self._brought.names() | (self._stored.loaded() if self._stored else set())
            removed, freed = await prune(docker, ours - names - {self.name(n) for n in names})
        self._brought.drop(removed)
        for image, made_of in list(self._here.items()):
            if made_of in removed:
                self.forget(image)
        if removed:
            return f"removed {len(removed)} image{'s' * (len(removed) != 1)}: {', '.join(removed)}", freed
        return "removed images without a name" if freed else "no image could go", freed

    def forget(self, image: str) -> None:
        """It was removed behind our back."""
        self._here.pop(image, None)

    async def ran(self, docker: "Docker", identity: str, image: str) -> str:
        """The digest of what a container of image id `identity` ran, for whoever wants exactly that again."""
        from aiodocker import DockerError

        key = (identity, image)
        if key not in self._digests:
            if len(self._digests) > 256:
                self._digests.clear()
            try:
                self._digests[key] = digest(await docker.images.inspect(identity), image)
            except DockerError:
                return identity  # removed since
        return self._digests[key]

    async def _named(self, docker: "Docker", image: str, pull: Pull) -> dict[str, Any]:
        before = await here(docker, image)
        if pull != "always" and before is not None:
            return before
        if pull == "never":
            raise ContainerError(
                "image", f"the image {image!r} is not on this host, and the task says never to pull it"
            )
        await self._pull(docker, image)
        if before is None:
            self._brought.note(image)
        if (known := await here(docker, image)) is None:
            raise ContainerError(
                "image", f"the image {image!r} was pulled and is gone again: does something prune here?"
            )
        return known

    async def _of_storage(self, docker: "Docker", image: str, pull: Pull) -> str:
        if self._stored is None:
            raise ContainerError("image", f"{image}: this worker has no storage to take images from")
        return await self._stored.have(docker, image, pull)

    async def _pull(self, docker: "Docker", image: str) -> None:
        """`ContainerError` (image) with the registry's words."""
        from aiodocker import DockerError
        from aiohttp import ClientTimeout

        secret = await credentials.header(image, self._environ)
        name, tag = _split(image)
        params = {"fromImage": name, "tag": tag}
        limit = ClientTimeout(total=PULL, sock_read=STALL, sock_connect=REQUEST)
        try:
            async with docker._query("images/create", "POST", params=params, headers=secret, timeout=limit) as answer:
                async for line in answer.content:
                    if refusal := _refusal(line):
                        raise ContainerError("image", f"{_CANNOT.format(image)}: {refusal}{_advice(refusal, secret)}")
        except DockerError as err:
            raise ContainerError(
                "image", f"{_CANNOT.format(image)}: {err.message}{_advice(err.message, secret)}"
            ) from None
        except TimeoutError as err:
            raise ContainerError(
                "image", f"{_CANNOT.format(image)}: nothing moved for {STALL:.0f} s, or it took over {PULL:.0f} s"
            ) from err


_CANNOT: Final = "the image {!r} is not on this host and cannot be pulled"


async def here(docker: "Docker", image: str) -> dict[str, Any] | None:
    """What the engine knows of an image, None if it has none of that name."""
    from aiodocker import DockerError

    try:
        return dict(await docker.images.inspect(image))
    except DockerError as err:
        if err.status != 404:
            raise
        return None


def digest(image: Mapping[str, Any], name: str) -> str:
    """What names exactly this image: the digest of the registry it was called by, else its id."""
    digests = [str(d) for d in image.get("RepoDigests") or ()]
    repository = _split(name)[0]
    own = [d for d in digests if d.rpartition("@")[0].endswith(repository)]
    identity = str(image.get("Id", ""))
    return (own or [identity if identity.startswith("sha256:") or not identity else f"sha256:{identity}"])[0]


def _split(image: str) -> tuple[str, str]:
    """Repository, and tag or digest; `latest` if the name says neither."""
    name, at, exact = image.partition("@")
    if at:
        return name, exact
    repository, colon, tag = image.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (image, "latest")


def _refusal(line: bytes) -> str:
    """The error in one line of an engine's progress, empty if it is none."""
    import msgspec

    try:
        told = msgspec.json.decode(line)
    except DAMAGED:
        return ""
    return str(told.get("error", "")) if isinstance(told, dict) else ""


def _advice(words: str, secret: Mapping[str, str]) -> str:
    lower = words.lower()
    if not any(w in lower for w in ("unauthorized", "denied", "authentication", "no basic auth")):
        return ""
    if secret:
        return " (the agent's user is logged in there; its login may be wrong or not allowed to read this)"
    return " (nobody is logged in there: run `docker login` as the agent's user)"
