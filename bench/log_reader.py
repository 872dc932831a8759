"""The one look into the log that a bench needs: who leads. Read as the api, by a direct get of one subject."""

import json
from pathlib import Path

import nats

from longshore_common.subjects import LEAD, STREAM, inbox


async def leader(state: Path) -> int:
    """Sequence of the newest `leader-elected`."""
    profile = json.loads((state / "client.json").read_text())
    creds = next(iter(sorted((state / "creds").glob("api*"))))
    client = await nats.connect(
        profile["nats_url"], user_credentials=str(creds), inbox_prefix=inbox("api", "").encode()
    )
    try:
        answer = await client.request(f"$JS.API.DIRECT.GET.{STREAM}.{LEAD}", b"", timeout=10)
        return int((answer.headers or {})["Nats-Sequence"])
    finally:
        await client.close()
