"""Routes about what governs all: shares of batches and users, and the operator's policy."""

from typing import Any, Final

import msgspec
from litestar import Router, get

from longshore_api.adapters import views
from longshore_api.adapters.doors import CaughtUp, TheHouse
from longshore_api.adapters.present import when
from longshore_api.core.governing import POLICY
from longshore_common.model import Policy, Share

_share: Final = msgspec.json.Decoder(Share).decode
_policy: Final = msgspec.json.Decoder(Policy).decode
#: `omit_defaults` keeps the log small; people see all.
_whole: Final = msgspec.structs.asdict


@get("/shares", summary="What batches and users get beside others", tags=["governing"])
async def shares(house: TheHouse, caught_up: CaughtUp) -> views.Shares:
    """Those whose share is not the usual one: weight 1, any number of tasks on workers at once."""
    rows = await house.reader.governing("batch", "user")
    return views.Shares([_shown(row, share) for row in rows if (share := _share(row["value"])) != Share()], caught_up)


def _shown(row: Any, share: Share) -> views.Share:
    since, request = when(row["at"]), row["request"]
    return views.Share(kind=row["kind"], name=row["name"], **_whole(share), since=since, request=request)


@get("/policy", summary="The operator's policy", tags=["governing"])
async def policy(house: TheHouse, caught_up: CaughtUp) -> views.Policy:
    """All values, also those that nobody ever changed, and since when they hold."""
    rows = await house.reader.governing(POLICY)
    if not rows:
        return views.Policy(policy=_whole(Policy()), since=None, request=0)
    row = rows[0]
    return views.Policy(policy=_whole(_policy(row["value"])), since=when(row["at"]), request=row["request"])


router = Router("/", route_handlers=[shares, policy])
