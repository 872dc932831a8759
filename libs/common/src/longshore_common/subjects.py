"""The only spelling of subjects, streams and buckets, and the permissions that follow from who may write what.

One function each, the finished shape as its docstring. `permissions` is what every credential is minted from.
"""

import functools
from typing import Final, NamedTuple

from longshore_common.errors import BadInput, Unreadable
from longshore_common.events import (
    AUTHOR,
    AttemptsAssigned,
    AttemptsRecalled,
    AttemptsReused,
    AttemptsSignalled,
    Event,
    LeaderElected,
    RemotesGiven,
    Role,
    SecretGiven,
    SubmissionPartSent,
    SweepOrdered,
    WorkerCareOrdered,
    WorkerJoined,
    WorkerLeft,
    WorkerLost,
    WorkerMoved,
    WorkerPaused,
    WorkerQuarantined,
    WorkerResized,
    WorkerResumed,
    WorkerTrusted,
)
from longshore_common.ids import TOKEN

#: The log's stream; all subjects below `log.` and no others.
STREAM: Final = "LOG"
ALL: Final = "log.>"
LEAD: Final = "log.dispatch.lead"
VERDICT: Final = "log.dispatch.verdict"
SNAPSHOTS: Final = "snapshots"
#: The object among the snapshots that says up to which sequence the dispatcher's covers the log, in decimal.
COVERED: Final = "dispatcher.seq"
BEATS: Final = "beat.*"
#: Services and users ask any dispatcher here, leader or standby (queue group of the same name).
ASK_DISPATCH: Final = "ask.dispatch.explain"
#: The leading dispatcher is heard here, by its standbys only.
LEAD_BEAT: Final = "lead.beat"
#: Where NATS servers are told a newer claim of an account, by the system account.
CLAIMS_UPDATE: Final = "$SYS.REQ.CLAIMS.UPDATE"
#: The stream of retained hints, what it holds, and the one that says whose these are.
RETAINED: Final = "DEMAND"
DEMANDS: Final = "demand.>"
DEMAND_LEADER: Final = "demand.leader"

#: No worker may have these names: `ask.<worker>.>` would be where a service is asked.
RESERVED: Final = frozenset({ASK_DISPATCH.split(".")[1]})


class Author(NamedTuple):
    """Who wrote an event, read off its subject: the role, and the user's or worker's name ("" for services)."""

    role: Role
    name: str


#: Events of the dispatcher that belong to one worker, and the last token of their subject.
_WORKER_TOKEN: Final[dict[type[Event], str]] = {
    AttemptsAssigned: "work", AttemptsRecalled: "signal", AttemptsSignalled: "signal", WorkerPaused: "signal",
    WorkerResumed: "signal", WorkerResized: "signal", WorkerLost: "signal", WorkerCareOrdered: "signal",
    RemotesGiven: "signal", SweepOrdered: "signal", WorkerMoved: "signal", WorkerQuarantined: "signal",
    WorkerTrusted: "signal", AttemptsReused: "signal", SecretGiven: "signal",
}  # fmt: skip


def of(event: Event, name: str = "") -> str:
    """The subject of an event by the user or worker `name`, or, for work and signals, addressed to worker `name`."""
    kind, role = type(event), AUTHOR[type(event)]
    match role:
        case "user":
            return user(name, "part" if kind is SubmissionPartSent else "wish")
        case "worker":
            return worker(name, "life" if kind in (WorkerJoined, WorkerLeft) else "report")
        case "api" | "recruit":
            return f"log.{role}.fact"
        case "dispatch" if kind in _WORKER_TOKEN:
            return dispatch(name, _WORKER_TOKEN[kind])
        case "dispatch":
            return LEAD if kind is LeaderElected else VERDICT


def user(name: str, what: str) -> str:
    """log.user.<user>.<wish|part>"""
    return f"log.user.{_token(name)}.{what}"


def dispatch(worker: str, what: str) -> str:
    """log.dispatch.<worker>.<work|signal>"""
    return f"log.dispatch.{_token(worker)}.{what}"


def dispatched_to(worker: str) -> str:
    """log.dispatch.<worker>.>"""
    return f"log.dispatch.{_token(worker)}.>"


def worker(worker: str, what: str) -> str:
    """log.worker.<worker>.<life|report>"""
    return f"log.worker.{_token(worker)}.{what}"


def beat(worker: str) -> str:
    """beat.<worker>"""
    return f"beat.{_token(worker)}"


def ask_output(worker: str) -> str:
    """ask.<worker>.output"""
    return f"ask.{_token(worker)}.output"


def ask_progress(worker: str) -> str:
    """ask.<worker>.progress: how far the transfers of attempts are, as JSON"""
    return f"ask.{_token(worker)}.progress"


def done(user: str, submission: int | str) -> str:
    """done.<user>.<submission>: how far a submission is, a hint to whoever waits for it"""
    return f"done.{_token(user)}.{submission}"


def demand(batch: str) -> str:
    """demand.batch.<batch>: what waits of it, retained"""
    return f"demand.batch.{_token(batch)}"


def consumer(worker: str) -> str:
    """agent-<worker>: the durable consumer of LOG that filters `dispatched_to(worker)`"""
    return f"agent-{_token(worker)}"


def outputs(worker: str) -> str:
    """out-<worker>: the object-store bucket that holds the stored output of this worker's attempts"""
    return f"out-{_token(worker)}"


def inbox(role: str, name: str) -> str:
    """_INBOX_<role>_<name> of a user or worker, _INBOX_<role> of a service: each credential's own, replies stay private"""
    return f"_INBOX_{role}_{name}" if name and role in ("user", "worker") else f"_INBOX_{role}"


@functools.lru_cache(maxsize=65_536)  # subjects are per author, so few; read for every message
def author(subject: str) -> Author:
    """Who alone may write to this subject of the log; `Unreadable` if it is none of ours."""
    match subject.split("."):
        case ["log", ("user" | "worker") as role, name, _]:
            return Author(role, name)
        case ["log", "dispatch", *_]:
            return Author("dispatch", "")
        case ["log", ("api" | "recruit") as role, *_]:
            return Author(role, "")
        case _:
            raise Unreadable(f"{subject!r} is no subject of the log")


class Permissions(NamedTuple):
    """Subjects a credential may publish to and subscribe to; `responses`: it may answer what reaches it, once each."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    responses: bool = False


def _js_read(stream: str) -> tuple[str, ...]:
    """What reading a stream by consumers of one's own takes.

    Only for streams others write: a consumer may deliver to any subject, so its maker could publish what the stream
    holds in anybody's name (the server refuses that only within one stream, as a cycle).
    """
    return (
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.INFO.{stream}.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.>",
        f"$JS.FC.{stream}.>",
    )


def _bucket_write(bucket: str) -> tuple[str, ...]:
    """What putting into, getting from and replacing in an object-store bucket takes.

    Neither consumers nor direct gets: both let the server publish the bucket's bytes, which this author chooses, on any
    reply subject, and so forge another's event. `MSG.GET` answers are wrapped.
    """
    stream = f"OBJ_{bucket}"
    return (f"$O.{bucket}.>", f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.STREAM.PURGE.{stream}")


#: What reading the retained hints takes, besides hearing new ones. No direct gets: see `_bucket_write`.
_RETAINED: Final = (f"$JS.API.STREAM.INFO.{RETAINED}", f"$JS.API.STREAM.MSG.GET.{RETAINED}")
#: What writing and forgetting them takes.
_RETAIN: Final = (DEMANDS, f"$JS.API.STREAM.INFO.{RETAINED}", f"$JS.API.STREAM.PURGE.{RETAINED}")


def permissions(role: Role, name: str = "") -> Permissions:
    """What this role may do, for `name` the user or worker; derived from the subjects its events have."""
    own_inbox = inbox(role, name) + ".>"
    match role:
        case "user":
            return Permissions(
                (f"log.user.{_token(name)}.>", ASK_DISPATCH),
                (own_inbox, f"done.{name}.>"),
            )
        case "worker":
            if name in RESERVED:
                raise BadInput(
                    f"a worker cannot be called {name!r}: services are asked under that name; choose another"
                )
            mine = consumer(name)
            return Permissions(
                (
                    f"log.worker.{_token(name)}.>",
                    beat(name),
                    f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{mine}",
                    f"$JS.API.CONSUMER.INFO.{STREAM}.{mine}",
                    f"$JS.ACK.{STREAM}.{mine}.>",
                    *_bucket_write(outputs(name)),
                ),
                (own_inbox, f"ask.{name}.>"),
                responses=True,
            )
        case "dispatch":
            return Permissions(
                ("log.dispatch.>", "done.>", LEAD_BEAT, *_js_read(STREAM), *_bucket_write(SNAPSHOTS), *_RETAIN),
                (own_inbox, BEATS, ASK_DISPATCH, LEAD_BEAT),
                responses=True,
            )
        case "recruit":
            return Permissions(("log.recruit.>", *_js_read(STREAM), *_RETAINED), (own_inbox, DEMANDS))
        case "api":
            return Permissions(
                ("log.api.>", "log.user.>", "ask.>", "$JS.API.>", "$JS.FC.>", "$O.>"),
                (own_inbox, BEATS, "done.>"),
            )


def reading(name: str) -> Permissions:
    """What a user may do who only reads: ask, and hear of submissions in their name; nothing in the log is theirs."""
    return Permissions((ASK_DISPATCH,), (f"{inbox('user', name)}.>", f"done.{_token(name)}.>"))


def telling_claims() -> Permissions:
    """What the api may do in the system account: tell claims, and read the answer."""
    return Permissions((CLAIMS_UPDATE,), (f"{inbox('api', '')}.>",))


def _token(name: str) -> str:
    if not TOKEN.fullmatch(name):
        raise BadInput(f"{name!r} cannot stand in a subject: use 1-63 of a-z, 0-9, '-' and '_'")
    return name
