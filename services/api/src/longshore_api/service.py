"""The api process: it connects, brings log and schema up, projects, listens to beats and serves HTTP, till it is told to stop.

What must not enter: what a route answers, what an event means.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import asyncpg
import msgspec
import structlog
import uvicorn

from longshore_api.adapters import archiving, http, schema, store, trimming
from longshore_api.adapters.doors import House
from longshore_api.adapters.feed import Feed
from longshore_api.adapters.heard import Heard
from longshore_api.adapters.idempotency import Idempotency
from longshore_api.adapters.issuer import Issuer, Names, Secrets
from longshore_api.adapters.limits import RATE, Limits
from longshore_api.adapters.mail import Mails, Server
from longshore_api.adapters.notify import Notifier, Ways
from longshore_api.adapters.output import Outputs
from longshore_api.adapters.past import Pasts
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.people import People, Told
from longshore_api.adapters.progress import Progress
from longshore_api.adapters.projector import Projector
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.store import away
from longshore_api.adapters.tes.contents import Contents
from longshore_api.adapters.ui.desk import Desk
from longshore_api.adapters.upkeep import Policy, Upkeep, keeping, opened
from longshore_api.adapters.webhook import Gate, Webhooks
from longshore_api.adapters.whole import Whole
from longshore_api.core.past import span
from longshore_common import settings
from longshore_common.adapters import nats_keys, nats_log, nats_setup
from longshore_common.clock import SystemClock
from longshore_common.errors import BadInput, Unreachable

log = structlog.get_logger()

#: Garbage is looked for after so many new objects: an event may be thousands, none of them garbage (a third of their cost).
GARBAGE: Final = (20_000, 20, 50)
#: Seconds an open request has to finish after SIGTERM.
GRACE: Final = 3
#: Seconds for which an idle connection is kept: a client that acts now and then need not connect each time.
KEPT_OPEN: Final = 75
#: Seconds between attempts to reach what is needed at the start.
_AGAIN: Final = 0.5
#: Seconds a migration may take.
_MIGRATION: Final = 3600


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the process is told. Secrets come as files."""

    ENV: ClassVar[dict[str, str]] = {
        "nats_url": "NATS_URL",
        "nats_creds": "NATS_CREDS",
        "database_url": "DATABASE_URL",
    }

    nats_url: str = "nats://127.0.0.1:4222"
    nats_creds: str | None = None
    database_url: str = ""
    listen: str = "127.0.0.1:8700"
    account_seed_file: str = ""
    account_public: str = ""
    join_secret_file: str = ""
    api_token_file: str = ""
    worker_nats_url: str = ""
    worker_api_url: str = ""
    user_nats_url: str = ""
    owner_file: str = ""
    operator_seed_file: str = ""
    system_creds: str = ""
    trusted_proxies: str = ""
    log_replicas: int = 1
    archive: str = ""
    forget_after: str = ""
    trim_after: str = ""
    rate_limit: float = RATE
    webhook_allow: str = ""
    smtp_url: str = ""
    smtp_password_file: str = ""
    smtp_trust: str = ""
    mail_from: str = ""
    mail_domains: str = ""


def configured(environ: Mapping[str, str]) -> Settings:
    """The settings of this environment; `BadInput` names what is missing."""
    found: Settings = settings.load(Settings, environ).value
    if not found.database_url:
        raise BadInput(
            "set DATABASE_URL to the PostgreSQL that holds the read model: postgresql://user:password@host/name"
        )
    return found


async def serve(found: Settings) -> None:
    """Run until SIGTERM or SIGINT; returns after a clean stop. `Refused` or `BadInput` if it can never work as set up."""
    gc.set_threshold(*GARBAGE)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait(), name="stop")
    running = asyncio.create_task(_run(found, stop), name="api")
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        await asyncio.wait({running}, timeout=GRACE + 2)
        running.cancel()
    stopping.cancel()
    with suppress(asyncio.CancelledError):
        await running
    log.info("stopped")


class _Server(uvicorn.Server):
    """Stops when told by us: signals are the process's, not the server's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(found: Settings, stop: asyncio.Event) -> None:
    secrets = _secrets(found)
    schema_ready = asyncio.create_task(_reached(lambda: _up_to_date(found.database_url), "the database"), name="schema")
    transport = await nats_log.connect(found.nats_url, creds=found.nats_creds, role="api")
    reader = await Reader.open(found.database_url)
    try:
        await _reached(lambda: nats_setup.ensure_log(transport, replicas=found.log_replicas), "the log")
        await _work(found, stop, _Parts(secrets, transport, reader, schema_ready))
    finally:
        schema_ready.cancel()
        await reader.close()
        await transport.close()


class _Parts(NamedTuple):
    secrets: Secrets
    transport: nats_log.NatsTransport
    reader: Reader
    schema_ready: asyncio.Task[None]


async def _work(found: Settings, stop: asyncio.Event, parts: _Parts) -> None:
    """Everything at once; when one ends, all end."""
    transport, clock, progress = parts.transport, SystemClock(), Progress()
    heard = Heard(transport.hints, clock)
    names = Names(parts.reader, progress, heard)
    archive = (lambda: opened(found.archive)) if found.archive else None
    whole = Whole(found.database_url, transport.log, archive)
    projector = Projector(found.database_url, whole, progress)
    feed = Feed(transport.log, whole)
    policy = Policy(archive=found.archive, forget_after=found.forget_after, trim_after=found.trim_after)
    upkeep = Upkeep(found.database_url, transport, policy)
    pasts = Pasts(found.database_url, parts.reader, clock)

    async def rebuild() -> None:
        await store.rebuild(found.database_url)
        projector.look()

    contents = Contents(
        parts.reader, parts.secrets.signing_seed, found.worker_api_url or f"http://{found.listen}", clock
    )
    people = People(_told(found, parts.secrets), parts.secrets, transport, clock)
    desk = Desk.made(parts.secrets.signing_seed, parts.reader, heard, clock)._replace(hints=transport.hints)
    house = House(
        token=_secret(found.api_token_file),
        reader=parts.reader,
        progress=progress,
        heard=heard,
        outputs=Outputs(transport),
        issuer=Issuer(parts.secrets, transport.log, lambda w: nats_setup.ensure_worker(transport, w), names),
        last=transport.log.last,
        rebuild=rebuild,
        pasts=pasts,
        pen=Pen(transport.log),
        owner=people.owner.user,
        keyring=people.ring,
        users=people.users,
        desk=desk,
        feed=feed,
        hints=transport.hints,
        limits=Limits(clock, found.rate_limit),
        keys=Idempotency(parts.reader, clock),
        contents=contents,
        notifier=Notifier(found.database_url, _ways(found, parts.secrets), clock),
    )
    server = _server(found, house)
    tasks = {
        asyncio.create_task(server.serve(), name="http"),
        asyncio.create_task(_project(parts, projector), name="project"),
        asyncio.create_task(heard.listen(), name="beats"),
        asyncio.create_task(heard.keep(found.database_url), name="metrics"),
        asyncio.create_task(upkeep.run(), name="upkeep"),
        asyncio.create_task(people.keep(), name="people"),
        asyncio.create_task(desk.samples.run(), name="samples"),
        asyncio.create_task(contents.run(), name="contents"),
        asyncio.create_task(_notify(parts, house), name="notify"),
    }
    told = asyncio.create_task(stop.wait(), name="told")
    done, _ = await asyncio.wait({*tasks, told}, return_when=asyncio.FIRST_COMPLETED)
    await _end_streams(feed, desk, progress)
    server.should_exit = True
    await asyncio.wait({t for t in tasks if t.get_name() == "http"}, timeout=GRACE)
    for task in {*tasks, told} - done:
        task.cancel()
    await asyncio.wait({*tasks, told})
    await pasts.close()
    for task in done - {told}:
        task.result()


async def _end_streams(feed: Feed, desk: Desk, progress: Progress) -> None:
    """Of programs and of pages."""
    await feed.close()
    desk.closing.set()
    progress.wake()


async def archived(environ: Mapping[str, str], to: str, forget: str) -> str:
    """Export everything now, and perhaps forget; one line that says how far it is."""
    found = configured(environ)
    destination = to or found.archive
    if not destination:
        raise BadInput("name where to: --to URI, or LONGSHORE_ARCHIVE, such as s3://bucket/stack")
    older = span(forget) if forget else None
    archive, now = opened(destination, environ), SystemClock().now()
    try:
        last = await archiving.export(found.database_url, archive, destination, now=now, everything=True)
        gone = await archiving.forget(found.database_url, archive, now - older) if older is not None else 0
    finally:
        await archive.close()
    return f"exported up to {last}" + (f", {gone} events removed from PostgreSQL" if older is not None else "")


async def trimmed(environ: Mapping[str, str], keep: str, *, dry: bool) -> str:
    """Trim now; one line that says where the log begins and who needs it from there."""
    found = configured(environ)
    seconds = keeping(keep)
    transport = await nats_log.connect(found.nats_url, creds=found.nats_creds, role="api", deadline=20)
    try:
        plan = await trimming.planned(transport, found.database_url, seconds, found.archive)
        first = plan.first if dry else await trimming.trimmed(transport, plan)
    finally:
        await transport.close()
    held = (
        f"{plan.bound.who} needs what follows {plan.bound.seq} ({plan.bound.fix})" if plan.bound else "younger is kept"
    )
    return f"the log begins at {first}; {held}"


async def _project(parts: _Parts, projector: Projector) -> None:
    await parts.schema_ready
    await projector.run()


async def _notify(parts: _Parts, house: House) -> None:
    await parts.schema_ready
    if house.notifier is not None:
        await house.notifier.run()


def _ways(found: Settings, secrets: Secrets) -> Ways:
    """How users are told what they asked for."""
    server = Server.of(found.smtp_url, _secret(found.smtp_password_file)) if found.smtp_url else None
    mails = Mails(server, found.mail_from, found.smtp_trust, found.mail_domains)
    return Ways(Webhooks(Gate.of(found.webhook_allow), secrets.signing_seed), mails)


async def _up_to_date(url: str) -> None:
    """The schema is at this release's revision; if not, a process of its own brings it there (alembic is large)."""
    try:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            if await schema.revision(connection) == schema.HEAD:
                return
        finally:
            await connection.close(timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError) as err:
        raise away(err) from err
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "longshore_api", "migrate", env=os.environ | {"DATABASE_URL": url}
    )
    async with asyncio.timeout(_MIGRATION):
        if await child.wait():
            raise Unreachable("the schema could not be brought up to date: see the lines before")


async def _reached(attempt: Callable[[], Awaitable[None]], what: str) -> None:
    """Try until it answers; a refusal is final."""
    while True:
        try:
            return await attempt()
        except Unreachable as err:
            log.warning("waiting", what=what, reason=str(err))
            await asyncio.sleep(_AGAIN)


def _server(found: Settings, house: House) -> _Server:
    host, _, port = found.listen.rpartition(":")
    if not port.isdigit():
        raise BadInput(f"LONGSHORE_LISTEN={found.listen!r} is not HOST:PORT, such as 127.0.0.1:8700")
    config = uvicorn.Config(
        http.application(house), host=host.strip("[]") or "127.0.0.1", port=int(port), log_config=None, access_log=False,
        timeout_graceful_shutdown=GRACE, timeout_keep_alive=KEPT_OPEN, http="httptools", ws="none", server_header=False,
        backlog=512,
        # else whoever may connect from here may say where a request comes from, and guess on
        proxy_headers=bool(found.trusted_proxies), forwarded_allow_ips=found.trusted_proxies,
    )  # fmt: skip
    return _Server(config)


def _secrets(found: Settings) -> Secrets:
    seed = _secret(found.account_seed_file)
    account = found.account_public or (nats_keys.public_key(seed) if seed else "")
    return Secrets(seed, account, _secret(found.join_secret_file), found.worker_nats_url or found.nats_url)


def _told(found: Settings, secrets: Secrets) -> Told:
    """What is told about users."""
    return Told(
        token=_secret(found.api_token_file), owner_file=found.owner_file, operator_seed=_secret(found.operator_seed_file),
        system_creds=found.system_creds, user_nats_url=found.user_nats_url or secrets.nats_url, nats_url=found.nats_url,
        database_url=found.database_url,
    )  # fmt: skip


def _secret(file: str) -> str:
    """What the file holds, without white space around it; "" if none is named, which admits nobody."""
    if not file:
        return ""
    try:
        return Path(file).read_text().strip()
    except OSError as err:
        raise BadInput(f"the secret {file} cannot be read ({err.strerror}): check its path and owner") from err
