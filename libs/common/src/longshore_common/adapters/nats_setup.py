"""What must exist on the server before anybody writes: the stream, buckets, and each worker's consumer.

Every call is idempotent and brings what drifted back; only the api has the permissions. What must not enter: keys.
"""

from typing import Any, Final

from longshore_common import codec, subjects
from longshore_common.adapters.nats_log import NatsTransport
from longshore_common.adapters.nats_wire import ApiError, Lost, NoResponders, Wire, api
from longshore_common.errors import Refused, Unreachable

#: The first with atomic batches and expectations across subjects.
OLDEST: Final = (2, 12)
#: Consumers the stream may have; nats-server 2.15 would stop at 1,000.
MOST_CONSUMERS: Final = 100_000
#: Seconds within which the server recognises a repeated id.
DUPLICATES: Final = 600
#: Seconds a worker may take to write a delivery to its journal before the server repeats it; see `nats_deliveries`.
ACK_WAIT: Final = 2
#: Deliveries a worker may have before it acknowledged the first.
MOST_UNHANDLED: Final = 10_000
_PATIENCE: Final = 10
_NO_STREAM: Final = 10059
_NO_CONSUMER: Final = 10014
_S: Final = 1_000_000_000


def server_version(transport: NatsTransport) -> tuple[int, ...]:
    """The server's version, such as (2, 15, 1)."""
    text = str(transport.wire._server_info.get("version", "0"))
    return tuple(int(p) for p in text.split("-")[0].split("+")[0].split(".") if p.isdigit())


def check_server(transport: NatsTransport) -> None:
    """`Refused`, naming the fix, if the server is too old, has no JetStream, or takes too small messages."""
    version, wire = server_version(transport), transport.wire
    if version < OLDEST:
        raise Refused(
            f"nats-server {'.'.join(map(str, version))} at {wire.url} is too old: Longshore needs 2.12 or newer"
            " (atomic batches); upgrade it, or unset NATS_URL to use the one that comes along"
        )
    if wire.max_payload < codec.MAX_MESSAGE + 64 * 1024:
        raise Refused(f"nats-server at {wire.url} takes messages of {wire.max_payload:,} bytes: set max_payload: 8MB")


async def ensure_log(transport: NatsTransport, *, replicas: int = 1) -> None:
    """The stream of the log, the bucket of snapshots and the retained hints, as they should be. `Refused` if the server
    cannot hold them.
    """
    check_server(transport)
    await _bucket(transport.wire, subjects.SNAPSHOTS, replicas)  # before the log: who sees that may count on this
    await _retained(transport.wire, replicas)
    await _stream(
        transport.wire,
        {
            "name": subjects.STREAM,
            "subjects": [subjects.ALL],
            "storage": "file",
            "retention": "limits",
            "num_replicas": replicas,
            "allow_atomic": True,
            "allow_direct": True,
            "deny_delete": True,
            "deny_purge": True,
            "max_consumers": MOST_CONSUMERS,
            "max_msg_size": -1,
            "max_age": 0,  # only while `nats_trim` works
            "duplicate_window": DUPLICATES * _S,
        },
    )


async def ensure_worker(transport: NatsTransport, worker: str, *, replicas: int = 1) -> None:
    """The worker's durable consumer and the bucket of its attempts' output."""
    await _consumer(
        transport.wire,
        {
            "durable_name": subjects.consumer(worker),
            "name": subjects.consumer(worker),
            "filter_subject": subjects.dispatched_to(worker),
            "deliver_policy": "all",
            "ack_policy": "all",
            "ack_wait": ACK_WAIT * _S,
            "max_ack_pending": MOST_UNHANDLED,
            "max_waiting": 16,
            "num_replicas": replicas,
        },
    )
    await _bucket(transport.wire, subjects.outputs(worker), replicas)


async def _retained(wire: Wire, replicas: int) -> None:
    """On file: a stream in memory is gone with its configuration after a restart of the server."""
    await _stream(
        wire,
        {
            "name": subjects.RETAINED,
            "subjects": [subjects.DEMANDS],
            "storage": "file",
            "retention": "limits",
            "max_msgs_per_subject": 1,
            "allow_atomic": True,
            "discard": "old",
            "num_replicas": replicas,
        },
    )


async def _bucket(wire: Wire, bucket: str, replicas: int) -> None:
    await _stream(
        wire,
        {
            "name": f"OBJ_{bucket}",
            "subjects": [f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"],
            "storage": "file",
            "discard": "new",
            "num_replicas": replicas,
            "allow_rollup_hdrs": True,
            "allow_direct": True,
        },
    )


async def _stream(wire: Wire, wanted: dict[str, Any]) -> None:
    name = wanted["name"]
    try:
        there = (await _call(wire, f"STREAM.INFO.{name}", None))["config"]
    except ApiError as err:
        if err.err_code != _NO_STREAM:
            raise Refused(f"the server refuses to show stream {name}: {err}") from err
        await _change(wire, f"STREAM.CREATE.{name}", wanted)
        return
    if any(there.get(k) != v for k, v in wanted.items()):
        await _change(wire, f"STREAM.UPDATE.{name}", there | wanted)


async def _consumer(wire: Wire, wanted: dict[str, Any]) -> None:
    name = wanted["name"]
    try:
        there = (await _call(wire, f"CONSUMER.INFO.{subjects.STREAM}.{name}", None))["config"]
        if all(there.get(k) == v for k, v in wanted.items()):
            return
    except ApiError as err:
        if err.err_code != _NO_CONSUMER:
            raise Refused(f"the server refuses to show consumer {name}: {err}") from err
    subject = f"CONSUMER.CREATE.{subjects.STREAM}.{name}.{wanted['filter_subject']}"
    await _change(wire, subject, {"stream_name": subjects.STREAM, "config": wanted})


async def _change(wire: Wire, subject: str, request: dict[str, Any]) -> None:
    try:
        await _call(wire, subject, request)
    except ApiError as err:
        raise Refused(f"the server refuses {subject}: {err}") from err


async def _call(wire: Wire, subject: str, request: dict[str, Any] | None) -> dict[str, Any]:
    try:
        return await api(wire, subject, request, _PATIENCE)
    except (Lost, NoResponders, TimeoutError) as err:
        raise Unreachable(f"JetStream at {wire.url} does not answer: start nats-server with jetstream enabled") from err
