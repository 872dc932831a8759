"""Bytes on this host's own disk: copies that appear complete, and what an `OSError` means.

Everything here blocks and runs in threads; `stop` ends it between pieces. What must not enter: asyncio, storage far away.
"""

import errno
import hashlib
import io
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from threading import Event, get_native_id
from typing import Final

from longshore_data.meter import UNMETERED, Meter
from longshore_data.parallel import Stopped
from longshore_data.store import Put, StoreError

#: Bytes between two looks at `stop`: 10 ms on a fast disk, half a second on a poor one.
PIECE: Final = 4 << 20
#: Files that are not complete yet have this in front of their name, and are removed by whoever stages there next.
PART: Final = ".longshore-part-"

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PASSING = (
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
    errno.ENOTCONN,
)


def translated(err: OSError, doing: str) -> StoreError:
    """The `StoreError` for an `OSError` met while `doing` (a phrase such as "reading /data/a")."""
    words = f"{doing}: {os.strerror(err.errno) if err.errno else err}"
    match err.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return StoreError(f"{words}: free space on this host", retriable=True, disk_full=True)
        case errno.EACCES | errno.EPERM:
            return StoreError(f"{words} for user id {os.geteuid()}: change its owner or mode, or run the agent as root")
        case errno.ENOENT | errno.ENOTDIR:
            return StoreError(f"{words}: correct the path", missing=True)
        case errno.EISDIR:
            return StoreError(f"{words}: end the URI in / if the whole folder is meant")
        case code:
            return StoreError(words, retriable=code in _PASSING)


def copy_in(stop: Event, source: str, target: str, meter: Meter = UNMETERED) -> int:
    """Copy file `source` to `target`, which appears complete; readable by all, executable if the source is. Bytes moved."""
    part = part_of(target)
    try:
        with open_file(source) as src, open(part, "wb", buffering=0) as dst:
            seen = os.fstat(src.fileno())
            if seen.st_blocks * 512 < seen.st_size:
                size = _pour_between_holes(stop, src.fileno(), dst.fileno(), meter)
            else:
                size = _pour(stop, src.fileno(), dst.fileno(), meter)
            os.fchmod(dst.fileno(), 0o755 if seen.st_mode & 0o111 else 0o644)
        os.rename(part, target)
    except BaseException:
        _forget(part)
        raise
    return size


def copy_out(stop: Event, source: str, where: tuple[str, str], meter: Meter = UNMETERED) -> Put:
    """Copy file `source` to `where[0]` by way of `where[1]` on the same disk, hashing; on disk when this returns."""
    target, part = where
    digest = hashlib.sha256()
    size = 0
    try:
        with open_regular(source) as src, open(part, "wb", buffering=0) as dst:
            while piece := src.read(PIECE):
                _look(stop)
                digest.update(piece)
                write_all(dst.fileno(), piece)
                size += len(piece)
                meter.moved_here(len(piece), stop)
            os.fsync(dst.fileno())
        os.rename(part, target)
    except BaseException:
        _forget(part)
        raise
    return Put(size, digest.hexdigest())


def write_new(_stop: Event, data: bytes, target: str, part: str) -> None:
    """Write `target`, on disk when this returns: without a name until it is whole, by way of `part` where that cannot be."""
    try:
        if not _written_nameless(data, target):
            with open(part, "wb", buffering=0) as dst:
                write_all(dst.fileno(), data)
                os.fsync(dst.fileno())
            os.rename(part, target)
        sync_folder(os.path.dirname(target))
    except BaseException:
        _forget(part)
        raise


def _written_nameless(data: bytes, target: str) -> bool:
    """Whether `target` could be made of a file that had no name before: then nobody who is killed leaves half of one."""
    try:
        fd = os.open(os.path.dirname(target), os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except OSError as err:
        if err.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOSYS, errno.EINVAL):
            return False
        raise
    try:
        write_all(fd, data)
        os.fsync(fd)
        os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd, follow_symlinks=True)  # linkat, which follows
        return True
    except FileExistsError:
        return False
    except OSError as err:
        if err.errno in _FULL:
            raise
        return False
    finally:
        os.close(fd)


def link(stop: Event, source: str, target: str) -> None:
    """Make `target` the same file as `source`, replacing what is there at once; a copy where disks know no links."""
    part = part_of(source)
    try:
        os.link(source, part, follow_symlinks=False)
        os.rename(part, target)
    except OSError as err:
        if err.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        copy_out(stop, source, (target, part_of(target)))
    finally:
        _forget(part)  # renaming one link of a file onto another link of the same file does nothing at all


def hash_file(stop: Event, path: str) -> str:
    """The sha256 of a file in hex."""
    digest = hashlib.sha256()
    with open_regular(path) as src:
        while piece := src.read(PIECE):
            _look(stop)
            digest.update(piece)
    return digest.hexdigest()


def open_regular(path: str) -> io.FileIO:
    """`path` open for reading, if it is itself a regular file: no link is followed, no pipe waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return io.FileIO(fd, "rb")


def open_file(path: str) -> io.FileIO:
    """`path` open for reading, links followed; `StoreError` if that is a device or a pipe, which might never end."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return io.FileIO(fd, "rb")
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise StoreError(f"{path} is a device or a pipe: name a file")


def write_all(fd: int, data: bytes, offset: int | None = None) -> None:
    """Write every byte, at the file's position or at `offset`."""
    view = memoryview(data)
    while view:
        if offset is None:
            done = os.write(fd, view)
        else:
            done = os.pwrite(fd, view, offset)
            offset += done
        view = view[done:]


def sync_folder(folder: str) -> None:
    """Make names in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def part_of(target: str) -> str:
    """Where `target` is made: beside it, under a name that nobody takes for complete and no other thread uses."""
    folder, _, name = target.rpartition("/")
    key = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=12).hexdigest()
    return f"{folder}/{PART}{key}-{os.getpid()}-{get_native_id()}"


def _pour(stop: Event, source: int, target: int, meter: Meter) -> int:
    """Copy by the kernel where it can (a reflink on some disks), by hand where not."""
    size = 0
    copy: Callable[[int, int], int] = _by_kernel
    while True:
        _look(stop)
        try:
            done = copy(source, target)
        except OSError as err:
            if copy is _by_hand or err.errno in _FULL:
                raise
            copy = _by_hand
            continue
        if not done and (copy is _by_hand or size):
            return size
        if not done:
            copy = _by_hand  # some file systems say 0 where they mean "not me"
        size += done
        meter.moved_here(done, stop)


def _pour_between_holes(stop: Event, source: int, target: int, meter: Meter) -> int:
    """Copy what is not a hole; holes stay holes, and do not count as bytes to move."""
    size = os.fstat(source).st_size
    at = moved = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as err:
            if err.errno == errno.ENXIO:  # nothing but a hole from here on
                break
            raise
        at = os.lseek(source, start, os.SEEK_HOLE)
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(target, start, os.SEEK_SET)
        while start < at and (piece := os.read(source, min(PIECE, at - start))):
            _look(stop)
            write_all(target, piece)
            start += len(piece)
            moved += len(piece)
            meter.moved_here(len(piece), stop)
    os.ftruncate(target, size)
    meter.expect(moved - size)
    return size


def _by_kernel(source: int, target: int) -> int:
    return os.copy_file_range(source, target, PIECE)


def _by_hand(source: int, target: int) -> int:
    piece = os.read(source, PIECE)
    write_all(target, piece)
    return len(piece)


def _look(stop: Event) -> None:
    if stop.is_set():
        raise Stopped


def _forget(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
