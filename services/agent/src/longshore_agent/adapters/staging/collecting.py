"""Collects: what a task left at the paths that it names, uploaded each to its own place.

What is not there is passed over. What must not enter: outputs that are published, engines.
"""

import os
from collections.abc import Iterator
from threading import Event
from typing import Final, NamedTuple

from longshore_agent.adapters.folders import Folders, stamp
from longshore_agent.adapters.staging import outputs
from longshore_common import inside
from longshore_common.errors import BadInput
from longshore_common.model import Collect
from longshore_data import uri
from longshore_data.uri import Location

#: Uploads of one attempt at once.
WIDTH: Final = 8


class Left(NamedTuple):
    """A file to upload: its path in the containers, where it is here, how many bytes, and where to."""

    path: str
    source: str
    size: int
    target: Location


class Found(NamedTuple):
    """The files, and a note on each thing that is passed over."""

    files: tuple[Left, ...]
    passed: tuple[str, ...]


def target(collect: Collect) -> Location:
    """Where to; `BadInput` names the fix."""
    whole = collect.directory or inside.is_wild(collect.path)
    scheme = collect.uri.partition("://")[0].partition("@")[0]
    if scheme in ("http", "https") or scheme.startswith("run+"):
        raise BadInput(f"{scheme}:// can only be read: choose s3://, file:// or a remote for {collect.path}")
    place = uri.parse(collect.uri)
    return place._replace(folder=True) if whole else place


def find(stop: Event, collects: tuple[Collect, ...], folders: Folders) -> Found:
    """What is there of these. `StoreError` for names that no storage can hold, `BadInput` for a bad URI."""
    files: list[Left] = []
    passed: list[str] = []
    staged = folders.remembered() if any(collect.new for collect in collects) else {}
    for collect in collects:
        found = [left for path, aim in _named(collect, folders) for left in _below(stop, path, aim, folders, passed)]
        files += [left for left in found if not (collect.new and staged.get(_real(left)) == stamp(left.source))]
        if not found:
            passed.append(f"{collect.path}: nothing is there")
    return Found(tuple(files), tuple(passed))


def _real(left: Left) -> str:
    return os.path.realpath(left.source)


def _named(collect: Collect, folders: Folders) -> Iterator[tuple[str, Location]]:
    """The paths that it means, and where each goes."""
    place = target(collect)
    if not inside.is_wild(collect.path):
        path = inside.clean(collect.path)
        name = path.rpartition("/")[2]
        yield path, place if collect.directory or not place.folder else place.below(name)
        return
    for path in folders.matches(collect.path):
        found = folders.resolved(path)
        if found is not None and (collect.directory or not os.path.isdir(found)):
            rest = path.removeprefix(collect.prefix).strip("/")
            yield path, place.below(uri.safe_path(rest), folder=os.path.isdir(found))


def _below(stop: Event, path: str, aim: Location, folders: Folders, passed: list[str]) -> Iterator[Left]:
    found = folders.resolved(path)
    if found is None or not folders.written(path):
        return
    if os.path.isfile(found) and not os.path.islink(found):
        if aim.folder:
            aim = aim.below(path.rpartition("/")[2])
        yield Left(path, found, os.path.getsize(found), aim)
    elif os.path.isdir(found):
        produced, skipped = outputs.find(stop, found, path)
        passed += [f"{path}/{note}" for note in skipped]
        for one in produced:
            yield Left(f"{path}/{one.path}", one.source, one.size, aim._replace(folder=True).below(one.path))
