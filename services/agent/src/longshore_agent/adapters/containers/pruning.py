"""Images that this agent brought to its host, and how those go again that no attempt uses.

An engine does not know who pulled an image, so names are noted in a file. What must not enter: when to prune, images that
others brought (but for what has lost its name: the engine's own idea of garbage).
"""

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from longshore_common.damage import DAMAGED

if TYPE_CHECKING:
    from aiodocker import Docker

_DANGLING: Final = json.dumps({"dangling": ["true"]})


class Brought:
    """Names and ids of images, in a file below `directory` that survives the agent."""

    def __init__(self, directory: str) -> None:
        self._path = f"{directory}/brought.json"

    def names(self) -> set[str]:
        """All that were noted; a file that is gone or damaged only means that less can be pruned."""
        try:
            with open(self._path, "rb") as file:
                return msgspec.json.decode(file.read(), type=set[str])
        except (OSError, *DAMAGED):
            return set()

    def note(self, name: str) -> None:
        """It is here because of us; a repeat writes nothing."""
        known = self.names()
        if name not in known:
            self._write(known | {name})

    def drop(self, names: Iterable[str]) -> None:
        """They are gone."""
        known = self.names()
        if left := known - set(names):
            self._write(left)
        elif known:
            os.unlink(self._path)

    def _write(self, names: set[str]) -> None:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        with open(f"{self._path}.new", "wb") as file:
            file.write(msgspec.json.encode(sorted(names)))
        os.replace(f"{self._path}.new", self._path)


async def prune(docker: "Docker", names: set[str]) -> tuple[list[str], int]:
    """(which of these images are gone now, bytes that became free). What any container uses stays."""
    before = await _layers(docker)
    removed = [name for name in sorted(names) if await _removed(docker, name)]
    answer = await docker._query_json("images/prune", "POST", params={"filters": _DANGLING})
    told = _reclaimed(answer)
    return removed, max(before - await _layers(docker), told, 0)


async def _removed(docker: "Docker", name: str) -> bool:
    """Whether it is gone, by us or by others; one that a container uses is not."""
    from aiodocker import DockerError

    try:
        await docker.images.delete(name)
    except DockerError as err:
        return err.status == 404
    return True


async def _layers(docker: "Docker") -> int:
    """Bytes that all images take together, each layer once."""
    answer = await docker._query_json("system/df", "GET")
    return int(answer.get("LayersSize") or 0)


def _reclaimed(answer: Any) -> int:
    """Docker tells a sum; Podman a list with one entry per image."""
    if isinstance(answer, dict):
        return int(answer.get("SpaceReclaimed") or 0)
    return sum(int(entry.get("Size") or 0) for entry in answer or ())
