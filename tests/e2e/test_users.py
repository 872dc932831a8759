"""Users on a real stack: they log in, may what their role says on both doors, are revoked at once, and leave no secret."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import longshore
from longshore_common.errors import LongshoreError
from longshore_common.profile import load

from .stacks import Said, Stack, place_for, running

pytestmark = pytest.mark.slow


class Peopled(Stack):
    """A stack, and its users by profile."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.environ["XDG_CONFIG_HOME"] = str(root / "config")
        self.secrets: dict[str, str] = {}

    def by(self, name: str, *words: str) -> Said:
        return self.say("--profile", name, *words)

    def joins(self, name: str, role: str = "user") -> None:
        self.secrets[name] = self.ok("user", "add", name, "--role", role).strip()
        self.ok("--profile", name, "login", "--secret-file", "-", stdin=self.secrets[name])

    def profile(self, name: str) -> Path:
        return self.root / "config" / "longshore" / "profiles" / name


@pytest.fixture(scope="module")
def stack() -> Iterator[Peopled]:
    with place_for("users") as root, running(Peopled(root)) as made:
        made.joins("ann")
        made.joins("vic", "viewer")
        yield made


def test_the_owner_is_an_admin_and_others_are_who_they_show(stack):
    assert json.loads(stack.ok("whoami", "--json"))["role"] == "admin"
    me = json.loads(stack.by("ann", "whoami", "--json").out)
    assert (me["user"], me["role"]) == ("ann", "user")
    assert {u["name"]: u["role"] for u in stack.lines("user", "list")}.items() >= {
        "ann": "user",
        "vic": "viewer",
    }.items()
    assert stack.profile("ann").joinpath("api-token").stat().st_mode & 0o777 == 0o600
    assert stack.profile("ann").joinpath("user.creds").stat().st_mode & 0o777 == 0o600


def test_each_may_what_their_role_says(stack):
    task = stack.by("ann", "submit", "--wait", "--", "true")
    assert task.code == 0, task
    theirs = stack.id("-b", "theirs", "sleep", "60")
    for who, words, why in (
        ("ann", ("task", "cancel", theirs), "belongs to"), ("ann", ("worker", "pause", "local-1"), "for admins"),
        ("ann", ("policy", "set", "half_life=3d"), "for admins"), ("ann", ("batch", "pause", "theirs"), "as well"),
        ("ann", ("user", "add", "x"), "role admin"), ("vic", ("submit", "true"), "do not allow"),
        ("vic", ("user", "revoke", "ann"), "role admin"),
    ):  # fmt: skip
        said = stack.by(who, *words)
        assert said.code == 1, said
        assert why in said.err, said
    assert stack.by("vic", "task", "list", "--json").out.count("\n") >= 2
    own = stack.by("ann", "submit", "-b", "own", "--", "sleep", "60").out.strip()
    assert stack.by("ann", "batch", "pause", "own").code == 0
    assert stack.say("task", "cancel", own).code == 0, "an admin may with what is another's"
    assert stack.say("task", "cancel", theirs).code == 0


def test_what_a_secret_consists_of_is_in_no_file_of_the_stack_nor_in_any_history(stack):
    hidden = [secret.split("_", 2)[2] for secret in stack.secrets.values()]
    mine = {stack.profile(name) / "api-token" for name in stack.secrets}
    for file in (f for f in stack.root.rglob("*") if f.is_file() and f not in mine):
        held = file.read_bytes()
        assert not any(each.encode() in held for each in hidden), file
    told = stack.ok("history", "--json", "--limit", "1000") + stack.ok("user", "secret", "list", "ann")
    assert "argon2" not in told
    assert not any(each in told for each in hidden)


async def revoked_after(client: longshore.AsyncClient, began: float) -> float:
    """Seconds from the revocation until a write over the open connection is refused."""
    while True:
        try:
            await client.submit(["true"])
        except LongshoreError:
            return time.monotonic() - began
        assert time.monotonic() < began + 20, "still let in"


async def test_who_is_revoked_is_refused_within_a_second_on_both_doors_and_the_jobs_go_on(stack):
    await asyncio.to_thread(stack.joins, "eve")
    running = stack.by("eve", "submit", "-b", "last", "--", "sleep", "300").out.strip()
    stack.until(lambda: json.loads(stack.ok("task", "show", running, "--json"))["state"] == "running")
    client = longshore.AsyncClient(profile=load(stack.profile("eve")), deadline=0.3)
    await client.submit(["true"])
    assert (await asyncio.to_thread(stack.by, "eve", "task", "list")).code == 0
    admin = longshore.AsyncClient(profile=load(stack.root))
    await asyncio.to_thread(admin.people.revoke, "eve", "left")
    began = time.monotonic()
    refused = asyncio.create_task(revoked_after(client, began))
    with pytest.raises(LongshoreError, match="revoked"):
        await asyncio.to_thread(client.people.me)
    assert time.monotonic() - began < 1, "HTTP"
    assert await refused < 1, "NATS"
    await client.close()
    await admin.close()
    assert "revoked" in stack.by("eve", "task", "list").err
    assert json.loads(stack.ok("task", "show", running, "--json"))["state"] == "running"
    assert stack.say("task", "cancel", running).code == 0
    told = " / ".join(line["text"] for line in stack.lines("history", "user", "eve"))
    assert "user eve revoked by" in told
    assert "(left)" in told


def test_a_stack_that_starts_again_knows_who_was_revoked_and_who_was_not(stack):
    stack.joins("bob")
    creds = (stack.profile("bob") / "user.creds").read_bytes()
    stack.ok("user", "revoke", "bob")
    stack.say("down", within=120)
    stack.up()
    assert (stack.profile("bob") / "user.creds").read_bytes() == creds
    assert "revoked" in stack.by("bob", "whoami").err
    assert stack.by("bob", "submit", "true").code == 1
    assert stack.by("ann", "submit", "--wait", "--", "true").code == 0
    assert json.loads(stack.ok("whoami", "--json"))["role"] == "admin"


def test_secrets_are_rotated_and_profiles_logged_out(stack):
    stack.joins("rob")
    second = stack.by("rob", "user", "rotate", "--overlap", "1h").out.strip()
    assert stack.by("rob", "whoami").code == 0
    stack.ok("--profile", "rob2", "login", "--secret-file", "-", stdin=second)
    assert len(stack.by("rob2", "user", "secret", "list").out.splitlines()) == 4
    third = stack.by("rob2", "user", "rotate").out.strip()
    assert stack.by("rob", "whoami").code == 1
    stack.ok("--profile", "rob", "login", "--secret-file", "-", stdin=third)
    assert stack.by("rob", "submit", "--wait", "--", "true").code == 0
    assert stack.by("rob", "logout").code == 0
    assert "no profile rob" in stack.by("rob", "whoami").err
    assert stack.say("--profile", "rob3", "login", "--secret-file", "-", stdin="ls_000000000000_" + "x" * 43).code == 1
    assert not (stack.profile("rob3") / "client.json").exists()


def test_a_host_joins_by_a_secret_of_its_own_and_a_group_reads(stack):
    made = json.loads(stack.ok("join-secret", "add", "--name", "rack 7", "--lasts", "1h", "--json"))
    assert [line["name"] for line in stack.lines("join-secret", "list")] == ["rack 7"]
    stack.ok("join-secret", "revoke", made["credential"]["id"])
    assert stack.lines("join-secret", "list") == []
    group = stack.ok("group-token", "add", "--name", "lab").strip()
    stack.ok("--profile", "lab", "login", "--secret-file", "-", stdin=group)
    assert stack.by("lab", "task", "list").code == 0
    assert stack.by("lab", "submit", "true").code != 0
    assert load(stack.profile("lab")).nats_url == ""
