"""`longshore-agent doctor`: looks at everything an agent needs on this host, and says what it saw and what to change.

It changes nothing and disturbs no agent at work: it opens no journal, and does not connect to a spawner, which has room for
one agent. What must not enter: repairs.
"""

import asyncio
import http.client
import os
import platform
import resource
import shutil
import tempfile
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct, structs

from longshore_agent.adapters import cgroups, enrolment, eviction, gpus, host
from longshore_agent.core import capacity, hours, watermark
from longshore_agent.core.ports import ContainerError
from longshore_agent.service.settings import Settings
from longshore_common.errors import LongshoreError

Verdict = Literal["ok", "note", "broken"]
#: Seconds for one check.
DEADLINE: Final = 10.0
#: Seconds by which the host's clock may differ from the api's.
SKEW: Final = 5.0
#: Characters of a summary and of a line of it.
SUMMARY, LINE = 1000, 240
#: Files that a busy agent may have open, at least.
FILES: Final = 4096


class Check(Struct, frozen=True):
    """One look: `note` works, but less than it could; `broken` keeps the agent from working. `fix` is empty if all is well."""

    name: str
    verdict: Verdict
    evidence: str
    fix: str = ""


async def examine(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    """All checks in the order in which an agent would stumble; each takes seconds at most."""
    checks: list[tuple[str, Callable[[], Awaitable[Check] | Check]]] = [
        ("program", _program),
        ("settings", lambda: _settings(settings)),
        ("work-directory", lambda: _directory(settings)),
        ("disk", lambda: _disk(settings)),
        ("hard-links", lambda: _links(settings)),
        ("api", lambda: asyncio.to_thread(_api, settings)),
        ("credentials", lambda: _credentials(settings)),
        ("nats", lambda: _nats(settings)),
        ("spawner", lambda: _spawner(settings)),
        ("processes", _processes),
        ("container-engine", lambda: _engine(environ)),
        ("control-groups", _groups),
        ("rclone", lambda: _rclone(environ)),
        ("gpus", lambda: _gpus(environ)),
        ("open-files", _files),
        ("metadata", lambda: asyncio.to_thread(_metadata, settings)),
    ]
    return [await _guarded(name, look) for name, look in checks]


def broken(checks: list[Check]) -> bool:
    """Whether an agent could not work here."""
    return any(check.verdict == "broken" for check in checks)


def summary(checks: list[Check]) -> str:
    """For an operator far away: how many checks found what, then those, a line each, the worst first."""
    told = [check for wanted in ("broken", "note") for check in checks if check.verdict == wanted]
    bad = sum(check.verdict == "broken" for check in told)
    lines = [
        f"{bad} of {len(checks)} checks {'is' if bad == 1 else 'are'} broken"
        + (f", {len(told) - bad} could be better" if len(told) > bad else "")
    ]
    left = SUMMARY - len(lines[0])
    for k, check in enumerate(told):
        line = f"{check.name}: {check.evidence}" + (f"; fix: {check.fix}" if check.fix else "")
        line = " ".join(line.split())[:LINE]
        left -= len(line) + 1
        if left < 20 and k < len(told):
            lines.append(f"and {len(told) - k} more")
            break
        lines.append(line)
    return "\n".join(lines)


async def visit(settings: Settings, environ: Mapping[str, str], *, engine: bool) -> str:
    """The summary for an agent at work, whose event loop goes on. `engine`: it had a container engine when it joined."""
    checks = await examine(settings, environ)
    if engine:
        checks = [structs.replace(c, verdict="broken") if _engine_gone(c) else c for c in checks]
    return summary(checks)


def _engine_gone(check: Check) -> bool:
    return check.name == "container-engine" and check.verdict != "ok"


def text(checks: list[Check]) -> str:
    """For people: a line per check, and below it the fix."""
    lines = []
    for check in checks:
        lines.append(f"{check.verdict:<7} {check.name:<17} {check.evidence}")
        if check.fix:
            lines.append(f"{'':<25} fix: {check.fix}")
    return "\n".join(lines) + "\n"


async def _guarded(name: str, look: Callable[[], Awaitable[Check] | Check]) -> Check:
    try:
        async with asyncio.timeout(DEADLINE):
            seen = await asyncio.to_thread(look)  # a disk that hangs must not hold up the agent
            return seen if isinstance(seen, Check) else await seen
    except TimeoutError:
        return Check(name, "broken", f"no answer within {DEADLINE:.0f} s", "see what hangs there")
    except (LongshoreError, OSError) as err:
        return Check(name, "broken", str(err), "correct what it names")


def _program() -> Check:
    evidence = (
        f"longshore-agent {version('longshore-agent')}, Python {platform.python_version()}, {platform.platform()}"
    )
    return Check("program", "ok", evidence)


def _settings(settings: Settings) -> Check:
    hours.parse(settings.hours)
    watermark.low(settings.disk_low, 1)
    if not settings.worker or not settings.worker_dir:
        return Check(
            "settings",
            "broken",
            "this worker has no name or no directory",
            "set LONGSHORE_WORKER and LONGSHORE_WORKER_DIR",
        )
    slots = capacity.slots(settings.concurrency, os.cpu_count() or 1)
    capacity.prefetch(settings.prefetch)
    offers = ["as many tasks as their requests allow" if slots < 0 else f"{slots} slots"]
    offers += [f"{amount:g} of {name}" for name, amount in capacity.custom(settings.custom).items()]
    return Check("settings", "ok", f"worker {settings.worker}, {', '.join(offers)}")


def _existing(settings: Settings) -> Path:
    """The worker's directory, or what exists above it."""
    path = Path(settings.worker_dir or ".").absolute()
    while not path.exists():
        path = path.parent
    return path


def _directory(settings: Settings) -> Check:
    path = _existing(settings)
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        fix = "choose a directory that the agent's user may write to: LONGSHORE_WORKER_DIR"
        return Check("work-directory", "broken", f"user {os.geteuid()} cannot write to {path}", fix)
    for place in (path, *(p for p in (path / "attempts", path / "cache") if p.exists())):
        try:
            with tempfile.TemporaryFile(dir=place) as file:
                file.write(b"x" * 4096)
                file.flush()
                os.fsync(file.fileno())
        except OSError as err:
            fix = "make it a directory of the agent's user on a disk that can be written to and has room"
            return Check("work-directory", "broken", f"{place} takes no files: {err.strerror}", fix)
    return Check("work-directory", "ok", f"{path} takes files and syncs them")


def _disk(settings: Settings) -> Check:
    space = host.space(_existing(settings))
    reason = watermark.why(space, watermark.low(settings.disk_low, space.total), hindered=False)
    if reason:
        return Check("disk", "broken", reason, "free some space: until then no work is taken")
    return Check(
        "disk", "ok", f"{space.free / (1 << 30):.1f} of {space.total / (1 << 30):.1f} GiB are free at {space.path}"
    )


def _links(settings: Settings) -> Check:
    base = Path(settings.worker_dir or ".").absolute()
    existing = _existing(settings)
    ends = [next(p for p in (base / part, existing) if p.exists()) for part in ("cache", "attempts")]
    with tempfile.NamedTemporaryFile(dir=ends[0], prefix=".doctor-") as file:
        link = f"{ends[1]}/{Path(file.name).name}-link"
        try:
            os.link(file.name, link)
            os.unlink(link)
        except OSError as err:
            fix = "put both on one file system that has hard links; until then each attempt gets a copy"
            return Check("hard-links", "note", f"no hard link from {ends[0]} to {ends[1]}: {err.strerror}", fix)
    return Check("hard-links", "ok", "resources are linked into work directories, not copied")


def _api(settings: Settings) -> Check:
    """Whether it answers, and whether its clock is ours."""
    if not settings.api_url:
        return Check(
            "api", "note", "no api is named", "set LONGSHORE_API_URL, unless NATS_URL and NATS_CREDS are given"
        )
    where = urllib.parse.urlsplit(settings.api_url)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.hostname or "127.0.0.1", where.port, timeout=5)
    try:
        connection.request("GET", where.path.rstrip("/") + "/healthz")
        answer = connection.getresponse()
        answer.read(1 << 16)
    except (OSError, http.client.HTTPException) as err:
        return Check(
            "api", "broken", f"{settings.api_url} does not answer: {err}", "start it, or correct LONGSHORE_API_URL"
        )
    finally:
        connection.close()
    if answer.status != 200:
        return Check(
            "api", "broken", f"{settings.api_url}/healthz answers {answer.status}", "is that the api's address?"
        )
    return _clock(settings.api_url, answer.headers.get("Date"))


def _clock(url: str, date: str | None) -> Check:
    if date is None:
        return Check("api", "ok", f"{url} answers, and does not tell the time")
    apart = time.clock_gettime(time.CLOCK_REALTIME) - parsedate_to_datetime(date).timestamp()
    if abs(apart) > SKEW:
        evidence = f"{url} answers, but this host's clock is {abs(apart):.0f} s {'ahead' if apart > 0 else 'behind'}"
        return Check("api", "broken", evidence, "synchronise the clock (chrony, systemd-timesyncd)")
    return Check("api", "ok", f"{url} answers, and its clock is ours within {SKEW:.0f} s")


def _credentials(settings: Settings) -> Check:
    door = enrolment.known(Path(settings.worker_dir)) if settings.worker_dir else None
    own = settings.nats_creds or (door.creds if door else "")
    path = own or settings.join_secret_file
    if not path:
        return Check("credentials", "broken", "there are none", "set LONGSHORE_JOIN_SECRET_FILE")
    try:
        mode = os.stat(path).st_mode & 0o777
        with open(path, "rb") as file:
            file.read(1)
    except OSError as err:
        return Check("credentials", "broken", f"{path}: {err.strerror}", "give the file to the agent's user")
    what = "enrolled" if own else "join secret"
    if mode & 0o077:
        return Check("credentials", "note", f"{what}: {path} is readable by others ({mode:o})", f"chmod 600 {path}")
    return Check("credentials", "ok", f"{what}: {path}, readable by its owner only")


async def _nats(settings: Settings) -> Check:
    door = enrolment.known(Path(settings.worker_dir)) if settings.worker_dir else None
    url = settings.nats_url or (door.nats_url if door else "")
    creds = settings.nats_creds or (door.creds if door else "")
    if not (url and creds):
        return Check("nats", "note", "not tried: this worker is not enrolled yet", "")
    from longshore_common.adapters import nats_log

    transport = await nats_log.connect(url, creds=creds, role="worker", name=settings.worker)
    await transport.close()
    return Check("nats", "ok", f"{url} lets worker {settings.worker} in")


def _spawner(settings: Settings) -> Check:
    """By the kernel's list of sockets: to connect would push a working agent off."""
    if not settings.spawner_socket:
        return Check("spawner", "ok", "the agent starts one of its own")
    path = str(Path(settings.spawner_socket).absolute())
    with open("/proc/net/unix") as file:
        listening = any(f[3] == "00010000" and f[-1] == path for f in map(str.split, file) if len(f) > 7)
    if listening:
        return Check("spawner", "ok", f"one listens at {path}")
    fix = "start `longshore-agent spawner` with this LONGSHORE_SPAWNER_SOCKET"
    return Check("spawner", "broken", f"nobody listens at {path}", fix)


async def _processes() -> Check:
    """Whether a command starts and ends as any should."""
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 7", stdin=asyncio.subprocess.DEVNULL)
    code = await process.wait()
    took = time.monotonic() - started
    if code != 7:
        fix = "see what ends processes here: memory, limits of the unit, a security module"
        return Check("processes", "broken", f"/bin/sh -c 'exit 7' ended with {code}", fix)
    return Check("processes", "ok", f"a command starts and ends within {took:.2f} s")


async def _engine(environ: Mapping[str, str]) -> Check:
    from longshore_agent.adapters.containers.connection import Connection

    connection = Connection(environ)
    try:
        _, engine = await connection.open()
    except ContainerError as err:
        return Check("container-engine", "note", err.reason, "without one only bare commands run here")
    finally:
        await connection.close()
    rights = "rootless" if engine.rootless else "rootful"
    driver = engine.driver or "unknown"
    return Check("container-engine", "ok", f"{engine.kind} {engine.version}, {rights}, control groups by {driver}")


def _groups() -> Check:
    """As `cgroups.ground` would find it, without making any."""
    if cgroups.unified():
        bases = (cgroups.ROOT, f"{cgroups.ROOT}{cgroups.own_group(os.getpid())}".rstrip("/"))
        writable = [b for b in bases if os.access(f"{b}/cgroup.subtree_control", os.W_OK)]
    else:
        writable = [b for b in (f"{cgroups.ROOT}/memory",) if os.access(b, os.W_OK)]
    kind = f"version {2 if cgroups.unified() else 1}"
    if writable:
        return Check("control-groups", "ok", f"{kind}, writable at {writable[0]}")
    fix = "run as root, or in a unit with Delegate=yes; until then limits of bare commands are by rlimits"
    return Check("control-groups", "note", f"{kind}, not writable for user {os.geteuid()}", fix)


async def _rclone(environ: Mapping[str, str]) -> Check:
    from longshore_data.stores.rclone_daemon import find_rclone

    try:
        program = await find_rclone(environ)
    except LongshoreError as err:
        return Check("rclone", "note", str(err), "without it no remotes are reached, only file, s3, http, ftp and ENA")
    asked = await asyncio.create_subprocess_exec(program, "version", stdout=asyncio.subprocess.PIPE)
    said, _ = await asked.communicate()
    return Check("rclone", "ok", f"{program}: {said.decode(errors='replace').partition(chr(10))[0]}")


def _gpus(environ: Mapping[str, str]) -> Check:
    found, problem = gpus.find()
    if problem:
        return Check("gpus", "broken", problem, "repair the driver, or set LONGSHORE_GPUS=none")
    if found is None:
        return Check("gpus", "ok", "no NVIDIA driver, so none are offered")
    names = ", ".join(found.names)
    if not shutil.which("nvidia-container-runtime-hook", path=environ.get("PATH")):
        fix = "install nvidia-container-toolkit; bare commands can use them already"
        return Check("gpus", "note", f"{names}; containers cannot reach them", fix)
    return Check("gpus", "ok", f"{names}; containers reach them by NVIDIA's toolkit")


def _files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        fix = f"ulimit -n {FILES}, or LimitNOFILE={FILES} in its unit"
        return Check("open-files", "note", f"{soft} files may be open at once (hard limit {hard})", fix)
    return Check("open-files", "ok", f"{soft} files may be open at once")


def _metadata(settings: Settings) -> Check:
    if settings.provider == "none":
        return Check("metadata", "ok", "notices of providers are not read: LONGSHORE_PROVIDER=none")
    found = eviction.find(settings.provider, settings.metadata_url)
    if settings.provider == "auto":
        said = f"{found.name} at {settings.metadata_url}" if found else f"nobody answers at {settings.metadata_url}"
        return Check("metadata", "ok", f"{said}: {'notices are read' if found else 'this is no cloud host'}")
    if found is None or not found.here():
        fix = "correct LONGSHORE_PROVIDER, or LONGSHORE_METADATA_URL"
        return Check("metadata", "note", f"{settings.provider} does not answer at {settings.metadata_url}", fix)
    return Check("metadata", "ok", f"{settings.provider} at {settings.metadata_url}: notices are read")
