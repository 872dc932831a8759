"""From a rule to a receiver: an outbox in PostgreSQL, one sender, a real webhook and a real mail server."""

import asyncio
import json
import ssl
import subprocess
from email import message_from_bytes
from typing import Any

import asyncpg
import httpx
import pytest

from longshore_api.adapters import http
from longshore_api.adapters.mail import Mails, Server
from longshore_api.adapters.notify import PAUSES, Notifier, Outbox, Ways
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.store import Store
from longshore_api.adapters.webhook import Gate, Webhooks
from longshore_common import events as e
from longshore_common.errors import BadInput, Refused, Unreachable
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.log import Entry
from longshore_common.model import HostFacts, Notification, Usage

from .test_http import Api, Stopped
from .test_webhook import receiving

SEED = "SA-of-the-test"


def ways(server: Server | None = None, trust: str = "") -> Ways:
    sender = "longshore@example.org"
    return Ways(Webhooks(Gate.of("127.0.0.0/8"), SEED), Mails(server, sender, trust))


class Post:
    """A notifier over a database of the test's own."""

    def __init__(self, url: str, book: Any, project: Any, connection: asyncpg.Connection) -> None:
        self.url, self.book, self.project = url, book, project
        self.clock = Stopped()
        self.notifier = Notifier(url, ways(), self.clock)
        self.connection = connection
        self.outbox = Outbox(connection)

    def rule(self, *occasions: str, ident: str = "n1", user: str = "ann", **more: Any) -> None:
        self.book.write(e.NotificationSet(id=ident, user=user, rule=Notification(occasions=occasions, **more)), "api")

    async def shown(self) -> None:
        """Project all."""
        store = await Store.open(self.url)
        memory = await store.load()
        await self.project(store, memory, self.book.records[memory.position :])
        await store.close()

    async def turn(self, seconds: float = 60) -> None:
        """Project all, and look, so many seconds after the last event."""
        await self.shown()
        self.clock.at = max(self.clock.at, 1000.0 + len(self.book.records)) + seconds
        await self.notifier.turn(self.outbox)

    async def notices(self) -> list[Any]:
        return list(await self.connection.fetch("SELECT * FROM notice ORDER BY made_at, way"))


@pytest.fixture
async def post(database, book, project):
    connection = await asyncpg.connect(database)
    yield Post(database, book, project, connection)
    await connection.close()


def done(book: Any) -> int:
    """A submission of two tasks that have ended."""
    sub = book.submit(2)
    book.write(e.SubmissionAccepted(submission=sub, size=2))
    book.assign(sub, 0, 1)
    book.end(sub, 0, 1)
    return int(sub)


async def test_a_finished_batch_is_told_once_however_often_it_is_looked_at(post):
    async with receiving() as receiver:
        post.rule("finished", webhook=receiver.url)
        done(post.book)
        for _ in range(3):
            await post.turn()
    ((_, headers, body),) = receiver.requests
    said = json.loads(body)
    assert (said["occasion"], said["batch"], said["states"]) == ("finished", "b", {"succeeded": 2})
    assert said["id"] == headers["webhook-id"]
    (row,) = await post.notices()
    assert row["sent_at"] == post.clock.at - 120
    assert row["due_at"] is None


async def test_a_budget_counts_what_attempts_ran_however_they_ended(post):
    async with receiving() as receiver:
        post.rule("budget", budget=25, webhook=receiver.url)
        sub = int(post.book.submit(3))
        post.book.write(e.SubmissionAccepted(submission=sub, size=3))
        for index, outcome in ((0, "succeeded"), (1, "failed"), (2, "succeeded")):
            await post.turn()
            assert receiver.requests == []
            post.book.assign(sub, index)
            post.book.end(sub, index, outcome=outcome, usage=Usage(started_at=1000.0, ended_at=1010.0))
        await post.turn()
        await post.turn()
    ((_, _, body),) = receiver.requests
    said = json.loads(body)
    assert (said["occasion"], said["ran_seconds"]) == ("budget", 30)


async def test_what_is_not_taken_is_tried_again_later_with_the_same_id_and_then_given_up(post):
    async with receiving() as receiver:
        post.rule("finished", webhook=receiver.url)
        done(post.book)
        receiver.answers += ["HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"] * 2
        await post.turn()
        await post.turn(PAUSES[0] - 1)
        assert len(receiver.requests) == 1
        await post.turn(1)
        await post.turn(PAUSES[1])
        ids = {headers["webhook-id"] for _, headers, _ in receiver.requests}
        assert (len(receiver.requests), len(ids)) == (3, 1)
        (row,) = await post.notices()
        assert (row["tries"], row["error"]) == (3, "")
    post.rule("finished", ident="n2", webhook=receiver.url)  # the receiver is gone
    done(post.book)
    for pause in (60, *PAUSES):
        await post.turn(pause)
    gone = [row for row in await post.notices() if row["rule"] == "n2"]
    assert all(row["due_at"] is None and row["sent_at"] is None and "cannot be reached" in row["error"] for row in gone)


async def test_failed_tasks_are_told_while_the_rest_runs(post):
    async with receiving() as receiver:
        post.rule("failing", webhook=receiver.url)
        sub = post.book.submit(2)
        post.book.write(e.SubmissionAccepted(submission=sub, size=2))
        post.book.assign(sub, 0, 1)
        post.book.end(sub, 0, outcome="failed", exit_code=1, cause="exit")
        post.book.write(e.TasksFailed(tasks=(e_range(sub, 0),), cause="exit"))
        await post.turn()
        await post.turn()
    assert [json.loads(body)["occasion"] for _, _, body in receiver.requests] == ["failing"]


def e_range(sub: int, index: int) -> Any:
    return TaskRange(SubmissionId(sub), index, index)


async def test_a_batch_that_waits_is_told_after_a_while_and_not_once_it_runs(post):
    async with receiving() as receiver:
        post.rule("stuck", webhook=receiver.url, stuck=600)
        sub = post.book.submit(1)
        post.book.write(e.SubmissionAccepted(submission=sub, size=1))
        await post.turn()
        await post.turn(599)
        assert receiver.requests == []
        await post.turn(2)
        await post.turn(2)
        assert [json.loads(body)["occasion"] for _, _, body in receiver.requests] == ["stuck"]
        post.book.assign(sub, 0)
        await post.turn()
        assert await post.connection.fetch("SELECT * FROM notice_watch") == []


async def test_nothing_is_told_of_others_batches_nor_by_a_rule_that_was_removed(post):
    async with receiving() as receiver:
        post.rule("finished", webhook=receiver.url, user="bob")
        post.rule("finished", ident="n2", webhook=receiver.url)
        post.book.write(e.NotificationRemoved(id="n2", user="ann"), "api")
        done(post.book)
        await post.turn()
    assert receiver.requests == []
    assert await post.notices() == []


async def test_what_a_read_model_says_that_is_only_rebuilt_is_no_news(post):
    async with receiving() as receiver:
        post.rule("finished", webhook=receiver.url)
        done(post.book)
        await post.shown()
        await post.connection.execute("UPDATE position SET seq = 4, at = 1004")
        await post.notifier.turn(post.outbox)
        assert receiver.requests == []
        await post.connection.execute("UPDATE position SET seq = 5, at = 1005")
        await post.notifier.turn(post.outbox)
        assert len(receiver.requests) == 1


async def test_only_one_of_two_processes_sends(post):
    others = [asyncio.ensure_future(Notifier(post.url, ways(), post.clock).run()) for _ in range(2)]
    async with receiving() as receiver, asyncio.timeout(20):
        post.rule("finished", webhook=receiver.url)
        done(post.book)
        await post.shown()
        while not receiver.requests:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0)
        held = await post.connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
        assert held == 1
        assert len(receiver.requests) == 1
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)


# --- mail ---------------------------------------------------------------------------------------------------------------


class Letters:
    """What a mail server was given."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []
        self.refuse = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        self.envelopes.append((session, envelope))
        return "250 taken"


@pytest.fixture
def certificate(tmp_path):
    """A certificate of localhost by itself, and its key."""
    key, crt = tmp_path / "key.pem", tmp_path / "crt.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", crt, "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return str(crt), str(key)


@pytest.fixture
async def office(certificate):
    """A mail server on a port of its own, with STARTTLS."""
    from aiosmtpd.smtp import SMTP

    letters = Letters()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    loop = asyncio.get_running_loop()

    def talk() -> SMTP:
        return SMTP(letters, hostname="localhost", tls_context=context, require_starttls=True, loop=loop)

    async with await loop.create_server(talk, "127.0.0.1", 0) as server:
        letters.port = server.sockets[0].getsockname()[1]
        yield letters


async def test_mail_goes_out_encrypted_and_says_what_happened(post, office, certificate):
    server = Server.of(f"smtp://localhost:{office.port}", "")
    post.notifier.ways = ways(server, certificate[0])
    post.rule("finished", mail="ann@example.org")
    done(post.book)
    await post.turn()
    await post.turn()
    ((session, envelope),) = office.envelopes
    assert session.ssl is not None
    assert envelope.rcpt_tos == ["ann@example.org"]
    letter = message_from_bytes(envelope.content)
    assert letter["Subject"] == "Longshore: b finished"
    assert letter["From"] == "longshore@example.org"
    (row,) = await post.notices()
    assert letter["Message-ID"] == f"<{row['id']}@example.org>"
    assert "Batch b has finished: 2 succeeded." in letter.get_payload()


async def test_a_mail_server_that_refuses_or_is_not_trusted_is_tried_again(post, office, certificate):
    server = Server.of(f"smtp://localhost:{office.port}", "")
    office.refuse = "451 later"
    with pytest.raises(Unreachable, match="451"):
        await ways(server, certificate[0]).mails.send("ann@example.org", "i", "s", "t", 1.0)
    with pytest.raises(Unreachable, match=r"(?i)certificate"):
        await ways(server).mails.send("ann@example.org", "i", "s", "t", 1.0)
    with pytest.raises(Unreachable):
        await ways(Server.of("smtp+plain://127.0.0.1:9", "")).mails.send("ann@example.org", "i", "s", "t", 1.0)
    assert office.envelopes == []


@pytest.mark.parametrize("address", ["", "ann", "a@b\nBcc: x@y", "a@b, c@d", "<a@b>", "a b@c"])
def test_what_is_no_address_of_one_person_is_refused(address):
    with pytest.raises(BadInput):
        ways(Server.of("smtp://localhost", "")).mails.check(address)


def test_mail_goes_only_where_the_operator_lets_it():
    mails = Mails(Server.of("smtp://localhost", ""), "longshore@example.org", domains="example.org, lab.example")
    mails.check("ann@Lab.example")
    with pytest.raises(Refused, match=r"example\.org, lab\.example only"):
        mails.check("ann@elsewhere.example")


def test_a_stack_without_a_mail_server_says_so_and_one_that_is_set_up_wrongly_too():
    with pytest.raises(Refused, match="LONGSHORE_SMTP_URL"):
        ways().mails.check("a@example.org")
    for url in ("http://x", "smtp://", "smtp://u:p@host", "smtp://host:port"):
        with pytest.raises(BadInput, match="LONGSHORE_SMTP_URL"):
            Server.of(url, "")
    with pytest.raises(BadInput, match="LONGSHORE_MAIL_FROM"):
        Mails(Server.of("smtp://host", ""), "nobody")
    assert Server.of("smtps://ann%40x@host", "p") == Server("host", 465, "tls", "ann@x", "p")


# --- routes -------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def api(database, book, project):
    reader = await Reader.open(database)
    made = Api(database, book, project, reader)
    made.url = database
    notifier = Notifier(database, ways(), made.clock)
    house = made.house._replace(pen=Pen(made.transport.log), notifier=notifier, owner="root")
    made.house = house
    made.client = httpx.AsyncClient(transport=httpx.ASGITransport(http.application(house)), base_url="http://api")
    yield made
    await made.client.aclose()
    await house.pasts.close()
    await reader.close()


async def ask(api: Any, method: str, path: str, body: Any = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {api.token}"}
    return await api.client.request(method, f"/api/v1/{path}", json=body, headers=headers)


async def shown(api: Any, project: Any) -> None:
    """Project what the routes wrote."""
    store = await Store.open(api.url)
    memory = await store.load()
    await project(store, memory, api.hub.records[memory.position :])
    api.progress.reach(memory.position)
    await store.close()


async def test_a_rule_is_made_shown_tested_and_removed(api, project):
    async with receiving() as receiver:
        made = await ask(
            api, "POST", "notifications", {"occasions": ["finished"], "webhook": receiver.url, "batch": "g*"}
        )
        assert made.status_code == 201, made.text
        ident, key = made.json()["id"], made.json()["key"]
        assert key.startswith("whsec_")
        await shown(api, project)
        (rule,) = (await api.json("notifications"))["items"]
        assert (rule["id"], rule["user"], rule["rule"]["batch"]) == (ident, "root", "g*")
        assert key not in json.dumps(rule)
        assert key not in "".join(str(record.event) for record in api.hub.records)
        tested = await ask(api, "POST", f"notifications/{ident}/test")
        assert tested.status_code == 202, tested.text
        connection = await asyncpg.connect(api.url)
        await api.house.notifier.turn(Outbox(connection))
        await connection.close()
        ((_, _, body),) = receiver.requests
        assert json.loads(body)["occasion"] == "test"
        (told,) = (await api.json(f"notifications/{ident}"))["told"]
        assert told["sent_at"] is not None
    assert (await ask(api, "DELETE", f"notifications/{ident}")).status_code == 200
    await shown(api, project)
    assert (await api.json("notifications"))["items"] == []
    assert (await ask(api, "POST", f"notifications/{ident}/test")).status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"occasions": ["budget"], "webhook": "https://example.org/"}, "seconds that the tasks"),
        ({"occasions": ["finished"], "webhook": "https://example.org/", "budget": 9}, "seconds that the tasks"),
        ({"occasions": ["budget"], "webhook": "https://example.org/", "budget": 1e300}, "up to"),
        ({"occasions": [], "webhook": "https://example.org/"}, "at least one"),
        ({"occasions": ["finished"]}, "where you want to be told"),
        ({"occasions": ["finished"], "webhook": "http://169.254.169.254/latest"}, "no public address"),
        ({"occasions": ["finished"], "mail": "a@example.org"}, "LONGSHORE_SMTP_URL"),
        ({"occasions": ["stuck"], "webhook": "https://example.org/", "stuck": 0}, "seconds"),
        ({"occasions": ["failing"], "webhook": "https://example.org/", "failing": 1 << 70}, "1 to 1000000000"),
    ],
)
async def test_what_cannot_be_told_is_refused_with_the_field_and_the_fix(api, body, words):
    answer = await ask(api, "POST", "notifications", body)
    assert answer.status_code in (400, 403), answer.text
    assert words in answer.json()["detail"]
    assert api.hub.records == []


async def test_secrets_are_listed_by_name_and_holder_and_come_in_sealed_only(api, project):
    def write(event: e.Event, name: str = "root") -> None:
        api.hub.append(Entry(event, name, f"k{len(api.hub.records)}"), 0)

    write(e.WorkerJoined(life=1, facts=HostFacts(secrets=("root/TOKEN",)), concurrency=1), "w1")
    write(e.WorkerJoined(life=1, facts=HostFacts(), concurrency=1), "w2")
    put = await ask(api, "PUT", "secrets/TOKEN", {"boxes": [["w1", "Ym94"], ["w2", "Ym94"]]})
    assert put.status_code == 202, put.text
    assert api.hub.records[-1].event == e.SecretShared(name="TOKEN", boxes=(e.Box("w1", "Ym94"), e.Box("w2", "Ym94")))
    for worker in ("w1", "w2"):
        write(e.SecretGiven(owner="root", name="TOKEN", box="Ym94"), worker)
    await shown(api, project)
    (one,) = (await api.json("secrets"))["items"]
    assert (one["owner"], one["name"], one["given"], one["hold"]) == ("root", "TOKEN", ["w1", "w2"], ["w1"])
    assert "Ym94" not in json.dumps(one)
    assert (await ask(api, "DELETE", "secrets/TOKEN")).status_code == 202
    for worker in ("w1", "w2"):
        write(e.SecretGiven(owner="root", name="TOKEN"), worker)
    await shown(api, project)
    assert (await api.json("secrets"))["items"] == []
    for path, body in (("secrets/1st", {"boxes": [["w1", "x"]]}), ("secrets/TOKEN", {"boxes": []})):
        assert (await ask(api, "PUT", path, body)).status_code == 400
