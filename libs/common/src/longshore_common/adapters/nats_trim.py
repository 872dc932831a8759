"""Taking old events off the front of the log, and what must not go yet.

The stream stays closed to purges and deletes, for everybody: it gets a greatest age for a moment, by whom may change it,
which is the api alone. (A stream that was once made with `deny_purge` keeps it for ever.) What must not enter: when to trim.
"""

from datetime import datetime
from typing import Any, Final, NamedTuple

from longshore_common import subjects
from longshore_common.adapters.nats_log import NatsTransport
from longshore_common.adapters.nats_wire import ApiError, Lost, NoResponders, Wire, api
from longshore_common.errors import BadInput, Refused, Unreachable

#: Seconds for one call to the server; a trim leaves so many seconds more than it was asked to, three times over.
PATIENCE: Final = 10.0
MARGIN: Final = 3 * PATIENCE
_NO_MESSAGE: Final = 10037
_AGENTS: Final = subjects.consumer("x")[:-1]
_S: Final = 1_000_000_000


class Front(NamedTuple):
    """Where the log begins and ends, the last election in it (0 if none), and the server's clock (Unix seconds)."""

    first: int
    last: int
    lead: int
    now: float


class Behind(NamedTuple):
    """A worker that has not acknowledged all that is addressed to it, and the sequence up to which it has."""

    worker: str
    handled: int


async def front(transport: NatsTransport) -> Front:
    """As the server tells it; `Unreachable` if it does not answer."""
    info = await _call(transport.wire, f"STREAM.INFO.{subjects.STREAM}", None)
    lead = await _message(transport.wire, {"last_by_subj": subjects.LEAD})
    state = info["state"]
    return Front(state["first_seq"], state["last_seq"], lead["seq"] if lead else 0, _unix(info["ts"]))


async def newest(transport: NatsTransport, subject: str) -> tuple[int, int]:
    """Where the log begins, and the sequence of the newest event on this subject, 0 if there is none."""
    info = await _call(transport.wire, f"STREAM.INFO.{subjects.STREAM}", None)
    found = await _message(transport.wire, {"last_by_subj": subject})
    return int(info["state"]["first_seq"]), int(found["seq"]) if found else 0


async def behind(transport: NatsTransport) -> list[Behind]:
    """Every worker to which something is still to be delivered, or which has not said that it has it."""
    found: list[Behind] = []
    offset = 0
    while True:
        page = await _call(transport.wire, f"CONSUMER.LIST.{subjects.STREAM}", {"offset": offset})
        for info in page["consumers"] or ():
            name = info["name"]
            if name.startswith(_AGENTS) and (info["num_pending"] or info["num_ack_pending"]):
                found.append(Behind(name.removeprefix(_AGENTS), info["ack_floor"]["stream_seq"]))
        offset += len(page["consumers"] or ())
        if offset >= page["total"] or not page["consumers"]:
            return found


async def instant(transport: NatsTransport, seq: int) -> float | None:
    """When the event at this sequence was appended (Unix seconds), None if there is none (any more, or yet)."""
    message = await _message(transport.wire, {"seq": seq})
    return None if message is None else _unix(message["time"])


async def trim(transport: NatsTransport, before: float, *, margin: float = MARGIN) -> int:
    """Drop events older than this instant (Unix seconds), but not the last `margin` seconds of them; the first one left.

    A repeat drops nothing more. `Refused` if the server does not allow it, `Unreachable` if it is not known to be done.
    """
    wire = transport.wire
    info = await _call(wire, f"STREAM.INFO.{subjects.STREAM}", None)
    config = info["config"]
    age = int((_unix(info["ts"]) - before + margin) * _S)
    if age < _S:
        raise BadInput("at least the last second of the log stays: name an earlier instant")
    window = min(config["duplicate_window"], age)  # the server wants it not to be longer
    try:
        await _call(wire, f"STREAM.UPDATE.{subjects.STREAM}", config | {"max_age": age, "duplicate_window": window})
    finally:
        info = await _call(wire, f"STREAM.UPDATE.{subjects.STREAM}", config | {"max_age": 0})
    return int(info["state"]["first_seq"])


async def _message(wire: Wire, what: dict[str, Any]) -> dict[str, Any] | None:
    try:
        message: dict[str, Any] = (await _asked(wire, f"STREAM.MSG.GET.{subjects.STREAM}", what))["message"]
    except ApiError as err:
        if err.err_code == _NO_MESSAGE:
            return None
        raise Unreachable(f"the log does not show an event: {err}") from err
    return message


async def _call(wire: Wire, subject: str, request: dict[str, Any] | None) -> dict[str, Any]:
    try:
        return await _asked(wire, subject, request)
    except ApiError as err:
        raise Refused(f"the server refuses {subject}: {err}") from err


async def _asked(wire: Wire, subject: str, request: dict[str, Any] | None) -> dict[str, Any]:
    try:
        return await api(wire, subject, request, PATIENCE)
    except (Lost, NoResponders, TimeoutError) as err:
        raise Unreachable(f"JetStream at {wire.url} does not answer: try again later") from err


def _unix(text: str) -> float:
    """Unix seconds of the server's RFC 3339 with nanoseconds."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}+00:00").timestamp() + float(f"0.{fraction or 0}")
