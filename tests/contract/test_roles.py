"""The manual's table of NATS subjects, tried on a real server: each subject by each credential, allowed or refused."""

import asyncio
from pathlib import Path

import pytest

from longshore_common import subjects
from longshore_common.adapters import nats_keys
from longshore_common.adapters.nats_log import connect
from longshore_common.errors import Refused, Unreachable

MANUAL = Path(__file__).parents[2] / "docs" / "manual" / "users.md"
ROLES = ("viewer", "user", "worker", "dispatch", "recruit", "api")
NAMES = {"viewer": "vic", "user": "ann", "worker": "w1"}


def table():
    part = MANUAL.read_text().split("## The table: NATS")[1].split("\n## ")[0]
    for line in part.splitlines():
        if line.startswith("| `"):
            subject, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            yield subject.strip("`"), dict(zip(ROLES, cells, strict=True))


TABLE = dict(table())


def minted(server, role):
    """A credentials file of this role; a viewer has those of a user who only reads."""
    if role != "viewer":
        return server.creds(role, NAMES.get(role, ""))
    seed = nats_keys.make_seed("user")
    holder = nats_keys.Holder("vic", nats_keys.public_key(seed))
    jwt = nats_keys.user_jwt(
        server.signing_seed, server.account, holder, subjects.reading("vic"), expires=4_000_000_000
    )
    path = server.directory / "viewer.creds"
    path.write_text(nats_keys.creds_text(jwt, seed))
    return str(path)


async def may_publish(transport, subject):
    try:
        await transport.wire.ask_within(subject, b"{}", 0.25)
    except Refused:
        return False
    except Exception:  # nobody answers there, but the server let it pass
        return True
    return True


async def may_subscribe(transport, subject):
    """The server refuses at once; what it does not refuse within a moment is let in."""
    hearing = asyncio.ensure_future(anext(transport.hints.listen(subject)))
    try:
        await asyncio.wait_for(hearing, 0.25)
    except Refused:
        return False
    except TimeoutError:
        return True
    return True


@pytest.mark.parametrize("role", ROLES)
async def test_each_credential_reaches_the_subjects_that_the_manual_says(server, role):
    await server.worker("w1")
    name = NAMES.get(role, "")
    wire_role = "user" if role == "viewer" else role
    transport = await connect(server.url, creds=minted(server, role), role=wire_role, name=name, deadline=10)
    try:
        wrong = []
        for subject, cells in TABLE.items():
            finished = subject.replace("<me>", name or "me")
            for letter, tried in (("P", may_publish), ("S", may_subscribe)):
                allowed = letter in cells[role]
                if await tried(transport, finished) is not allowed:
                    wrong.append(f"{role} {letter} {finished}: the manual says {allowed}")
        assert not wrong, "\n".join(wrong)
    finally:
        await transport.close()


def test_the_table_names_every_subject_that_anybody_may_publish_to():
    named = {subject.split(".")[0] for subject in TABLE}
    for role in ("user", "worker", "dispatch", "recruit", "api"):
        for subject in subjects.permissions(role, NAMES.get(role, "x") if role in ("user", "worker") else "").publish:
            first = subject.split(".")[0]
            assert first in named or first in ("$JS", "$O"), subject


async def test_a_viewer_reads_nothing_of_the_log(server):
    transport = await connect(server.url, creds=minted(server, "viewer"), role="user", name="vic", deadline=10)
    try:
        for request in ("STREAM.INFO.LOG", "STREAM.MSG.GET.LOG", "CONSUMER.CREATE.LOG.x"):
            with pytest.raises((Refused, Unreachable)):
                await transport.wire.ask_within(f"$JS.API.{request}", b"{}", 2)
    finally:
        await transport.close()
