"""Whether a dispatcher leads: heard, as its standbys hear it.

What must not enter: what it decides.
"""

import asyncio
from pathlib import Path

import msgspec

from longshore_common import subjects
from longshore_common.adapters.nats_log import connect


class _Beat(msgspec.Struct):
    """What matters here of a leader's beat."""

    fence: int
    resigned: bool = False


def heard(nats_url: str, creds: Path, within: float) -> bool:
    """Whether a leader was heard within so many seconds; `creds` are a dispatcher's."""
    try:
        asyncio.run(asyncio.wait_for(_listen(nats_url, creds), within))
    except TimeoutError:
        return False
    return True


async def _listen(nats_url: str, creds: Path) -> None:
    transport = await connect(nats_url, creds=str(creds), role="dispatch", name="up")
    try:
        async for _, body in transport.hints.listen(subjects.LEAD_BEAT):
            beat = msgspec.json.decode(body, type=_Beat)
            if beat.fence and not beat.resigned:
                return
    finally:
        await transport.close()
