"""Where snapshots are kept: one object, replaced each time, in the bucket of snapshots.

What must not enter: when to take one.
"""

import asyncio
import zlib
from typing import Final

from longshore_common import subjects
from longshore_common.errors import Unreadable
from longshore_common.log import Blobs

#: The object's name; the first byte of its content says how the rest is packed.
NAME: Final = "dispatcher"
PLAIN: Final = b"p"
DEFLATED: Final = b"z"
#: Snapshots larger than this are compressed, in a thread (zlib lets the loop run meanwhile).
COMPRESS_ABOVE: Final = 256 * 1024


async def save(blobs: Blobs, data: bytes, seq: int) -> int:
    """Keep this snapshot, of the state at `seq`, instead of the last; returns the bytes stored.

    What is covered is said after it, so never too much. `Unreachable` if the store does not answer.
    """
    packed = PLAIN + data
    if len(data) > COMPRESS_ABOVE:
        packed = DEFLATED + await asyncio.to_thread(zlib.compress, data, 1)
    await blobs.put(subjects.SNAPSHOTS, NAME, packed)
    await blobs.put(subjects.SNAPSHOTS, subjects.COVERED, str(seq).encode())
    return len(packed)


async def load(blobs: Blobs) -> bytes | None:
    """The last snapshot, None if there is none; `Unreadable` if it is damaged."""
    packed = await blobs.get(subjects.SNAPSHOTS, NAME)
    if not packed:
        return None
    if packed[:1] == PLAIN:
        return packed[1:]
    try:
        return await asyncio.to_thread(zlib.decompress, packed[1:])
    except zlib.error as err:
        raise Unreadable(f"the snapshot is damaged: {err}") from err
