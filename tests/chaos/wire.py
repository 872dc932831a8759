"""Raw messages with a role's own credentials: what a buggy or hostile holder of them could send."""

import asyncio
import json
from pathlib import Path

import nats

from longshore_common.subjects import inbox

from .stack import Stack


def send(stack: Stack, creds: Path, role: str, name: str, messages: list[tuple[str, bytes, dict[str, str]]]) -> int:
    """Publish as they are and wait for each acknowledgement of the log; the last sequence."""

    async def publish() -> int:
        url = json.loads((stack.state / "client.json").read_text())["nats_url"]
        client = await nats.connect(url, user_credentials=str(creds), inbox_prefix=inbox(role, name).encode())
        try:
            seq = 0
            for subject, body, headers in messages:
                answer = await client.request(subject, body, timeout=10, headers=headers or None)
                said = json.loads(answer.data)
                assert "error" not in said, said
                seq = said["seq"]
            return seq
        finally:
            await client.close()

    return asyncio.run(publish())


def send_as_user(stack: Stack, *messages: tuple[str, bytes, dict[str, str]]) -> int:
    """As the user of the stack's profile; `{user}` in a subject is replaced by its name."""
    profile = json.loads((stack.state / "client.json").read_text())
    user = profile["user"]
    named = [(subject.format(user=user), body, headers) for subject, body, headers in messages]
    return send(stack, Path(profile["nats_creds"]), "user", user, named)
