"""Who may write and read what, tried on a real server in operator mode: the matrix follows from the AUTHOR table."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from longshore_common import codec, subjects
from longshore_common.adapters import nats_keys, nats_setup
from longshore_common.adapters.nats_log import connect
from longshore_common.errors import Refused, Unreachable
from longshore_common.events import AUTHOR, AttemptsReported, WorkerLeft
from longshore_common.log import Entry, Malformed
from longshore_common.testing.nats_server import running

from .vocabulary import elected, everything, recalled, reported, submitted, take

EXAMPLES = sorted((Path(__file__).parent.parent / "corpus").glob("*.jsonl"))[-1]
CREDENTIALS = [("user", "ann"), ("worker", "w1"), ("dispatch", ""), ("recruit", ""), ("api", "")]
#: May write as: an author may write as itself only, but the api also for users who come by HTTP.
MAY = {(role, role) for role in set(AUTHOR.values())} | {("api", "user")}


def examples():
    """An example of each event, on subjects of ann and w1, and of bob and w2."""
    kinds = set()
    for line in EXAMPLES.read_text().splitlines():
        example = json.loads(line)
        if example["event"]["type"] in kinds:
            continue
        kinds.add(example["event"]["type"])
        body = json.dumps(example["event"]).encode()
        _, event = codec.decode(example["subject"], body)
        role = AUTHOR[type(event)]
        names = {"user": ("ann", "bob"), "worker": ("w1", "w2"), "dispatch": ("w1",)}.get(role, ("",))
        for name in names:
            yield role, name, subjects.of(event, name), body


async def tried(transport, subject, body):
    """Whether the server let it into the log."""
    try:
        got = await transport.wire.ask_within(subject, body, 5)
    except Refused:
        return False
    return json.loads(got.data)["seq"] > 0


@pytest.mark.parametrize(("role", "name"), CREDENTIALS)
async def test_each_role_can_write_its_own_events_in_its_own_name_and_no_others(server, role, name):
    await server.worker("w1")
    transport = await server.connect(role, name)
    written = 0
    for author, whose, subject, body in examples():
        own_name = role in ("dispatch", "api") or whose == name
        allowed = (role, author) in MAY and own_name
        assert await tried(transport, subject, body) is allowed, f"{role} {name} on {subject}"
        written += allowed
    assert await (await server.connect("api")).log.last() == written


@pytest.mark.parametrize(("role", "name"), CREDENTIALS)
async def test_nobody_writes_to_the_log_beside_the_known_subjects(server, role, name):
    transport = await server.connect(role, name)
    for subject in ("log.other", "log.user", "log.admin.x.wish", "log.worker.w1"):
        assert not await tried(transport, subject, b"{}")


@pytest.mark.parametrize(("role", "name"), [("user", "ann"), ("worker", "w1")])
async def test_neither_a_user_nor_a_worker_reads_the_log(server, role, name):
    await server.worker("w1")
    await server.worker("w2")
    transport = await server.connect(role, name)
    with pytest.raises(Refused):
        await take(transport.log.follow(0), 1)
    for subject in (
        "log.>",
        "log.dispatch.w2.>",
        "log.worker.w2.report",
        "_INBOX_dispatch.>",
        "_INBOX.>",
        ">",
        "beat.*",
    ):
        with pytest.raises(Refused):
            await asyncio.wait_for(anext(transport.hints.listen(subject)), 5)
    stream, other = subjects.STREAM, subjects.consumer("w2")
    for request in (
        f"STREAM.MSG.GET.{stream}", f"DIRECT.GET.{stream}", f"DIRECT.GET.{stream}.log.dispatch.w2.work",
        f"CONSUMER.CREATE.{stream}.mine", f"CONSUMER.CREATE.{stream}.mine.log.dispatch.w2.>",
        f"CONSUMER.DURABLE.CREATE.{stream}.mine", f"CONSUMER.MSG.NEXT.{stream}.{other}",
        f"CONSUMER.INFO.{stream}.{other}", f"CONSUMER.DELETE.{stream}.{other}", f"CONSUMER.RESET.{stream}.{other}",
        f"STREAM.DELETE.{stream}", f"STREAM.PURGE.{stream}", f"STREAM.UPDATE.{stream}", "STREAM.CREATE.MINE",
        f"STREAM.MSG.DELETE.{stream}", f"STREAM.SNAPSHOT.{stream}", "STREAM.NAMES", "STREAM.MSG.GET.OBJ_out-w2",
        "STREAM.MSG.GET.OBJ_snapshots", "STREAM.PURGE.OBJ_out-w2",
    ):  # fmt: skip
        with pytest.raises(Refused):
            await transport.wire.ask_within(f"$JS.API.{request}", b"{}", 5)
    for subject in (
        f"$JS.ACK.{stream}.{other}.1.1.1.1.0",
        "$O.out-w2.C.x",
        "$O.snapshots.M.x",
        "beat.w2",
        "ask.w2.output",
    ):
        with pytest.raises(Refused):
            await transport.wire.ask_within(subject, b"", 5)


async def test_a_worker_reads_its_own_work_and_answers_for_itself(server):
    w1, w2, dispatch = await server.worker("w1"), await server.worker("w2"), await server.connect("dispatch")
    await dispatch.log.append_all([recalled("r1", "w1"), recalled("r2", "w2")])
    assert [r.seq for r in await take(w1.log.deliveries("w1", 0), 1)] == [1]
    reading = asyncio.create_task(take(w1.log.deliveries("w2", 0), 1, seconds=5))
    with pytest.raises(Refused):
        await reading
    assert [r.seq for r in await take(w2.log.deliveries("w2", 0), 1)] == [2]


async def test_a_worker_cannot_have_the_server_publish_its_bytes_in_anothers_name(server):
    """Consumers and direct gets deliver what a stream holds to any subject their maker names."""
    w1 = await server.worker("w1")
    await server.worker("w2")
    forged = codec.encode(AttemptsReported(life=9, n=9))[0]
    target = "log.worker.w2.report"
    assert await tried(w1, "$O.out-w1.C.forged", forged)
    consumer = {"stream_name": "OBJ_out-w1", "config": {"deliver_subject": target, "ack_policy": "none", "name": "f"}}
    for request, body in (
        ("CONSUMER.CREATE.OBJ_out-w1.f", json.dumps(consumer).encode()),
        ("CONSUMER.CREATE.OBJ_out-w1", json.dumps(consumer).encode()),
        ("DIRECT.GET.OBJ_out-w1", b'{"seq":1}'),
        ("DIRECT.GET.OBJ_out-w1.$O.out-w1.C.forged", b""),
        ("CONSUMER.MSG.NEXT.OBJ_out-w1.f", b""),
        ("STREAM.MSG.GET.OBJ_out-w1", b'{"seq":1}'),
    ):
        w1.wire.post(f"$JS.API.{request}", body, reply=target)
    await w1.log.append(reported(1), deadline=5)
    await asyncio.sleep(0.2)
    for record in await everything(await server.connect("api")):
        if record.subject == target:
            assert isinstance(record.event, Malformed), "a report was forged"


async def test_work_sent_to_anothers_subject_by_the_server_is_no_event_there(server):
    w1, dispatch = await server.worker("w1"), await server.connect("dispatch")
    await dispatch.log.append(recalled("r1"))
    w1.wire.post("$JS.API.CONSUMER.MSG.NEXT.LOG.agent-w1", b'{"batch":1}', reply="log.worker.w2.report")
    await w1.log.append(reported(1))
    await asyncio.sleep(0.2)
    for record in await everything(dispatch):
        assert record.subject != "log.worker.w2.report" or isinstance(record.event, Malformed)


async def test_an_acknowledgement_directed_to_the_leaders_subject_deposes_nobody(server):
    ann, dispatch = await server.connect("user", "ann"), await server.connect("dispatch")
    fence = await dispatch.log.append(elected("one"))
    entry = submitted("u1")
    ann.wire.post("log.user.ann.wish", codec.encode(entry.event)[0], reply=subjects.LEAD)
    await ann.log.append(submitted("u2"))
    await asyncio.sleep(0.2)
    assert await dispatch.log.append(recalled("r1"), fence=fence) > fence


async def test_a_service_answers_only_to_inboxes(server):
    ann, dispatch = await server.connect("user", "ann"), await server.connect("dispatch")
    fence = await dispatch.log.append(elected("one"))
    asked = asyncio.Event()

    async def explain(question):
        asked.set()
        return b'{"type":"leader-elected","dispatcher":"ann"}'

    await dispatch.hints.answer(subjects.ASK_DISPATCH, explain, shared=True)
    await asyncio.sleep(0.1)
    ann.wire.post(subjects.ASK_DISPATCH, b"{}", reply=subjects.LEAD)
    assert await ann.hints.ask(subjects.ASK_DISPATCH, b"{}", deadline=5)
    assert await dispatch.log.last() == fence


async def test_answers_and_deliveries_reach_nobody_else(server):
    ann, w1 = await server.connect("user", "ann"), await server.worker("w1")
    for transport, other in ((ann, w1), (w1, ann)):
        with pytest.raises(Refused):
            await asyncio.wait_for(anext(transport.hints.listen(f"{other.wire.inbox}.>")), 5)


async def test_a_writer_without_permission_is_refused_at_once_and_goes_on(server):
    w1 = await server.worker("w1")
    async with asyncio.timeout(2):
        with pytest.raises(Refused, match="do not allow"):
            await w1.log.append(Entry(WorkerLeft(life=1), "w2", "x"), deadline=30)
    assert await w1.log.append(reported(1)) == 1


async def test_nobody_deletes_from_the_log_not_even_the_api(server):
    api, ann = await server.connect("api"), await server.connect("user", "ann")
    await ann.log.append(submitted("u1"))
    for request, body in (("STREAM.PURGE.LOG", b"{}"), ("STREAM.MSG.DELETE.LOG", b'{"seq":1}')):
        answer = json.loads((await api.wire.ask_within(f"$JS.API.{request}", body, 5)).data)
        assert "error" in answer
    assert await api.log.last() == 1


async def test_the_log_and_workers_are_made_once_and_drift_is_repaired(server):
    api, ann, w1 = await server.connect("api"), await server.connect("user", "ann"), await server.worker("w1")
    await ann.log.append(submitted("u1"))
    for _ in range(2):
        await nats_setup.ensure_log(api)
        await nats_setup.ensure_worker(api, "w1")
    config = json.loads((await api.wire.ask_within("$JS.API.STREAM.INFO.LOG", b"", 5)).data)["config"]
    changed = config | {"duplicate_window": 120_000_000_000}
    await api.wire.ask_within("$JS.API.STREAM.UPDATE.LOG", json.dumps(changed).encode(), 5)
    await nats_setup.ensure_log(api)
    again = json.loads((await api.wire.ask_within("$JS.API.STREAM.INFO.LOG", b"", 5)).data)["config"]
    assert again["duplicate_window"] == nats_setup.DUPLICATES * 10**9
    assert await api.log.last() == 1
    assert await w1.log.append(reported(1)) == 2


async def test_a_server_that_is_too_old_or_takes_too_small_messages_is_refused_clearly(server):
    api = await server.connect("api")
    assert nats_setup.server_version(api) >= nats_setup.OLDEST
    api.wire._server_info["version"] = "2.11.9"
    with pytest.raises(Refused, match=r"2\.11\.9 .* too old"):
        await nats_setup.ensure_log(api)
    api.wire._server_info["version"] = "2.12.0-beta.1"
    await nats_setup.ensure_log(api)
    api.wire._max_payload = 1024 * 1024
    with pytest.raises(Refused, match="max_payload"):
        await nats_setup.ensure_log(api)


async def test_there_is_no_log_yet_says_so(tmp_path):
    async with running(tmp_path / "empty", ready=False) as empty:
        ann = await empty.connect("user", "ann")
        with pytest.raises(Unreachable, match="start the api"):
            await ann.log.append(submitted("u1"), deadline=0.3)


def test_examples_cover_every_event():
    tags = {msgspec.json.decode(body)["type"] for _, _, _, body in examples()}
    assert tags == {kind.__struct_config__.tag for kind in AUTHOR}


async def test_a_revoked_user_is_cut_off_at_once_and_the_others_stay(server):
    ann, bob = await server.connect("user", "ann"), await server.connect("user", "bob")
    await ann.log.append(submitted("u1"))
    seed = Path(server.creds("user", "ann")).read_text().split("SEED-----\n")[1].split("\n")[0]
    server.revoke(nats_keys.public_key(seed), 2_000_000_000)
    async with asyncio.timeout(10):
        while ann.wire.up:
            await asyncio.sleep(0.01)
    with pytest.raises(Unreachable):
        await ann.log.append(submitted("u2"), deadline=0.5)
    with pytest.raises(Refused, match="credentials"):
        await connect(server.url, creds=server.creds("user", "ann"), role="user", name="ann", deadline=5)
    assert await bob.log.append(submitted("b1", user="bob")) == 2


async def test_expired_credentials_are_refused(server):
    seed = nats_keys.make_seed("user")
    holder = nats_keys.Holder("ann", nats_keys.public_key(seed))
    jwt = nats_keys.user_jwt(
        server.signing_seed, server.account, holder, subjects.permissions("user", "ann"), expires=1_600_000_000
    )
    path = server.directory / "expired.creds"
    path.write_text(nats_keys.creds_text(jwt, seed))
    with pytest.raises(Refused, match="credentials"):
        await connect(server.url, creds=str(path), role="user", name="ann", deadline=5)
