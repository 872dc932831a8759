"""Builds what moves and keeps bytes on this host: limits, the cache of resources, the room they all share.

What must not enter: using them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from longshore_agent.adapters import room
from longshore_agent.adapters.cache import Cache
from longshore_agent.adapters.room import Room
from longshore_agent.adapters.staging import StorageStager
from longshore_agent.core import sizes
from longshore_agent.service.confidences import Confidences
from longshore_agent.service.remotes import SharedRemotes
from longshore_agent.service.settings import Settings
from longshore_common.clock import Clock, SystemClock
from longshore_common.errors import BadInput
from longshore_data.meter import Limits
from longshore_data.storage import Storage


class Stored(NamedTuple):
    """A stager, its cache, the disk that cache and work directories share, the remotes that storage knows, and secrets."""

    stager: StorageStager
    cache: Cache
    room: Room
    remotes: SharedRemotes
    secrets: Confidences


def build(settings: Settings, directory: Path, environ: Mapping[str, str], clock: Clock | None = None) -> Stored:
    """For the worker that keeps its things in `directory`; `BadInput` names the setting that is wrong."""
    if settings.transfers < 1:
        raise BadInput(f"LONGSHORE_TRANSFERS={settings.transfers}: at least one file must move at a time")
    down = sizes.size(settings.bandwidth_down, "LONGSHORE_BANDWIDTH_DOWN")
    up = sizes.size(settings.bandwidth_up, "LONGSHORE_BANDWIDTH_UP")
    directory.mkdir(parents=True, exist_ok=True, mode=0o711)
    floor = sizes.share(settings.cache_free, room.whole(str(directory)), "LONGSHORE_CACHE_FREE")
    shared = Room(directory, floor)
    most = sizes.size(settings.cache_max, "LONGSHORE_CACHE_MAX")
    cache = Cache(directory / "cache", shared, most, clock or SystemClock())
    storage = Storage(environ)
    stager = StorageStager(storage, Limits(settings.transfers, down, up), cache)
    remotes = SharedRemotes(storage, directory, environ, settings.nats_creds)
    return Stored(stager, cache, shared, remotes, Confidences(directory, clock or SystemClock(), settings.nats_creds))
