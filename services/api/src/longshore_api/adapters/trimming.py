"""Up to where the log may be trimmed, and doing it: never past what anybody still needs from it.

What must not enter: how the server takes events off (`nats_trim` of common), when to do it.
"""

from typing import NamedTuple

import asyncpg

from longshore_api.adapters.store import away
from longshore_common import subjects
from longshore_common.adapters import nats_trim
from longshore_common.adapters.nats_log import NatsTransport
from longshore_common.errors import Refused


class Bound(NamedTuple):
    """Who needs the log from the event after `seq` on, and what moves that on."""

    seq: int
    who: str
    fix: str


class Plan(NamedTuple):
    """Events before the instant `before` (Unix seconds) may go; `bound` is who keeps it from being later, None = their age."""

    before: float
    first: int
    bound: Bound | None


async def planned(transport: NatsTransport, url: str, keep: float, destination: str = "") -> Plan:
    """What may go now of what is older than `keep` seconds. `Refused` names what is missing before anything may."""
    front = await nats_trim.front(transport)
    covered = await transport.blobs.get(subjects.SNAPSHOTS, subjects.COVERED)
    if covered is None:
        raise Refused("no dispatcher has left a snapshot that says what it covers: start one of this release")
    bounds = [
        Bound(int(covered), "the dispatcher's snapshot", "it takes one every minute while something happens"),
        Bound(front.lead - 1, "the last election", "the leader elects itself anew every few hours"),
    ]
    bounds += await _of_read_model(url, destination)
    gone = await _gone(url)
    bounds += [
        Bound(b.handled, f"worker {b.worker}", "it has not taken what was sent to it: is its host there?")
        for b in await nats_trim.behind(transport)
        if b.worker not in gone
    ]
    bound = min(bounds)
    latest = front.now - keep
    instant = await nats_trim.instant(transport, bound.seq + 1) if bound.seq < front.last else front.now
    if bound.seq + 1 < front.first:
        return Plan(0.0, front.first, bound)
    if instant is None or latest <= instant:
        return Plan(latest, front.first, None)
    return Plan(instant, front.first, bound)


async def trimmed(transport: NatsTransport, plan: Plan, *, margin: float = nats_trim.MARGIN) -> int:
    """Do it; the first sequence left, which is `margin` seconds older than it must be. Nothing happens if all is younger."""
    begin = await nats_trim.instant(transport, plan.first)
    if begin is None or begin >= plan.before - margin:
        return plan.first
    return await nats_trim.trim(transport, plan.before, margin=margin)


async def _of_read_model(url: str, destination: str) -> list[Bound]:
    position, exported = await _fetched(url, destination)
    bounds = [Bound(position, "the projection", "see /readyz of the api")]
    if destination:
        bounds.append(Bound(exported, f"the archive {destination}", "`longshore-api archive` exports the rest"))
    return bounds


async def _fetched(url: str, destination: str) -> tuple[int, int]:
    try:
        db = await asyncpg.connect(url, timeout=10, command_timeout=20)
        try:
            position = await db.fetchval("SELECT seq FROM position")
            exported = await db.fetchval("SELECT seq FROM exported WHERE destination = $1", destination)
        finally:
            await db.close(timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
        raise away(err) from err
    return int(position), int(exported or 0)


async def _gone(url: str) -> set[str]:
    """Workers that are lost or left: what was sent to them was given to others when that was written."""
    try:
        db = await asyncpg.connect(url, timeout=10, command_timeout=20)
        try:
            return {r["name"] for r in await db.fetch("SELECT name FROM worker WHERE state IN ('lost', 'left')")}
        finally:
            await db.close(timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
        raise away(err) from err
