"""A state from the archive and the log, where the log's front was trimmed and no snapshot is left.

What must not enter: deciding; whoever restores leads nobody.
"""

from collections.abc import Mapping

from longshore_common.adapters.records import read
from longshore_common.errors import BadInput, Refused
from longshore_common.log import Recorded, Transport
from longshore_dispatcher.adapters import snapshots
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.state import State


async def restore(transport: Transport, folder: str, environ: Mapping[str, str]) -> int:
    """Fold everything, store the snapshot, and return its sequence. `Refused` if events are in neither archive nor log."""
    if not folder:
        raise BadInput("name the archive: --archive URI, or LONGSHORE_ARCHIVE, such as s3://bucket/stack")
    state = State()
    await fold_archive(state, folder, environ)
    last = await transport.log.last()
    if state.seq < last:
        async for piece in transport.log.follow(state.seq):
            for record in piece.records:
                evolve(state, record)
            state.news.clear()
            if state.seq >= last:
                break
    await snapshots.save(transport.blobs, snapshot.to_bytes(state), state.seq)
    return state.seq


async def fold_archive(state: State, folder: str, environ: Mapping[str, str]) -> None:
    """All that was exported, in order and without gaps."""
    try:
        from longshore_data.archive import Archive
    except ImportError as err:
        raise Refused("this installation reads no archive: install longshore-dispatcher[archive]") from err
    archive = Archive(folder, environ)
    try:
        async for events in archive.events(0, 1 << 62):
            for kept in events:
                if kept.seq != state.seq + 1:
                    raise Refused(f"the archive {folder} lacks the events from {state.seq + 1} to {kept.seq - 1}")
                author, event = read(kept.subject, kept.body)
                evolve(state, Recorded(kept.seq, kept.at, author, kept.subject, event, body=kept.body))
            state.news.clear()
    finally:
        await archive.close()
