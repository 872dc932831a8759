"""Archives and compressed files, unpacked on this host's disk; what they say is not believed.

A member may not leave the directory, by name or by link, nor be a device; sizes are measured while they grow; links are
made last, so that nothing is ever written through one. Everything here blocks and runs in threads; `stop` ends it between
pieces. Errors are about the bytes (`StoreError`, not retriable) or the disk (`OSError`, or `StoreError` with `disk_full`).
What must not enter: URIs, which files to unpack, asyncio.
"""

import os
import stat
import struct
import tarfile
import zlib
from calendar import timegm
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import IO, Any, Final, cast

from longshore_data.parallel import Stopped
from longshore_data.store import StoreError

#: Bytes between two looks at `stop` and at the free space.
PIECE: Final = 1 << 20
#: Bytes of the disk that unpacking leaves free for the rest of the host.
KEEP: Final = 64 << 20
#: Bytes that a header of a tar archive (a long name, say) may have; more is an attack on our memory.
_MOST_HEADER: Final = 1 << 20
#: Bytes of names that a zip archive may list, half a million of usual ones: all are in memory at once, ten times as large.
_MOST_INDEX: Final = 64 << 20
_BAD: Final = (
    tarfile.TarError, zlib.error, struct.error, ValueError, LookupError, OverflowError, NotImplementedError, RuntimeError,
)  # fmt: skip


def gunzip(stop: Event, source: str, target: str, keep: int = KEEP) -> None:
    """Write what the gzip file `source` (of any number of members) holds to `target`, which is new."""
    with _reading(source), _gzip(source) as src:
        seen = os.stat(source)
        if not seen.st_size:
            raise EOFError
        _pour(stop, src, target, keep)
    _finish(target, seen.st_mode, seen.st_mtime)


def untar(stop: Event, archive: str, directory: str, keep: int = KEEP) -> None:
    """Unpack a tar archive, compressed by gzip, bzip2, xz, zstd or not, into `directory`, which is empty and ours alone.

    Kept: bytes, whether a file can be run, its time, links that stay inside. An archive without its end mark was cut off.
    """
    target = _Target(stop, directory, keep)
    with _reading(archive), ExitStack() as stack:
        source = _Forward(stop, stack.enter_context(_plain(archive)))
        tar = stack.enter_context(_Tar(fileobj=cast(Any, source), mode="r", tarinfo=_Member, errorlevel=2))
        while (member := tar.next()) is not None:
            if (name := _inside(member.name)) or not member.isdir():
                _put_member(target, name, tar, member)
            tar.members.clear()  # or the list of a million members stays
    target.finish()


def unzip(stop: Event, archive: str, directory: str, keep: int = KEEP) -> None:
    """Unpack a zip archive into `directory`, which is empty and ours alone; kept is what `untar` keeps."""
    from zipfile import BadZipFile, ZipFile

    target = _Target(stop, directory, keep)
    with _reading(archive):
        _check_index(archive)
        try:
            with ZipFile(archive) as zipped:
                for info in zipped.infolist():
                    _look(stop)
                    if name := _inside(info.filename):
                        _put_zipped(target, name, zipped, info)
        except BadZipFile as err:
            raise StoreError(f"{os.path.basename(archive)} is no whole zip archive, or was cut off: {err}") from err
    target.finish()


def _check_index(archive: str) -> None:
    """`StoreError` if the list of names at the end of a zip archive is too long to be held in memory."""
    with open(archive, "rb") as source:
        source.seek(-min(os.path.getsize(archive), 1 << 17), os.SEEK_END)
        tail = source.read()
    end, end64 = tail.rfind(b"PK\5\6"), tail.rfind(b"PK\6\6")
    sizes = [struct.unpack_from("<L", tail, end + 12)[0]] if 0 <= end <= len(tail) - 22 else []
    if 0 <= end64 <= len(tail) - 56 and sizes == [0xFFFFFFFF]:
        sizes = [struct.unpack_from("<Q", tail, end64 + 40)[0]]
    if any(size > _MOST_INDEX for size in sizes):
        raise StoreError(
            f"{os.path.basename(archive)} has a list of names of {sizes[0]} bytes: make a tar of so many files"
        )


def check_links(directory: str, names: list[str]) -> None:
    """`StoreError` if one of these symbolic links below `directory` leads out of it."""
    root = os.path.realpath(directory)
    for name in names:
        path = f"{directory}/{name}"
        if os.readlink(path).startswith("/") or not f"{os.path.realpath(path)}/".startswith(f"{root}/"):
            raise _escape(f"the link {name!r} to {os.readlink(path)!r}")


class _Forward:
    """What the library needs of a file, over a stream: a place to seek is read up to, and must be there."""

    def __init__(self, stop: Event, source: IO[bytes]) -> None:
        self._stop, self._source, self._at = stop, source, 0

    def tell(self) -> int:
        return self._at

    def seek(self, place: int) -> None:
        if place < self._at:
            raise tarfile.ReadError("a part of it points back")
        while self._at < place:
            if not self.read(min(PIECE, place - self._at)):
                raise EOFError

    def read(self, size: int) -> bytes:
        _look(self._stop)
        pieces: list[bytes] = []
        while size > 0 and (piece := self._source.read(size)):
            pieces.append(piece)
            size -= len(piece)
            self._at += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Member(tarfile.TarInfo):
    """A header that does not make us read gigabytes of itself into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        found = super().frombuf(buf, encoding, errors)
        long = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if found.type in (*long, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK) and found.size > _MOST_HEADER:
            raise tarfile.ReadError(f"a header of {found.size} bytes")
        return found


class _Tar(tarfile.TarFile):
    """The library's `next` takes a damaged or missing header for the end of the archive; this one does not."""

    members: list[tarfile.TarInfo]

    def next(self) -> tarfile.TarInfo | None:
        if first := getattr(self, "firstmember", None):  # read by the constructor
            self.firstmember: tarfile.TarInfo | None = None
            return cast(tarfile.TarInfo, first)
        if self.offset:
            source: Any = self.fileobj
            source.seek(self.offset)
        try:
            return self.tarinfo.fromtarfile(self)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            return None
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError) as err:  # type: ignore[attr-defined]
            raise EOFError from err


class _Target:
    """The directory that an archive is unpacked into. Of two members of one name the last counts."""

    def __init__(self, stop: Event, directory: str, keep: int) -> None:
        self._stop, self._directory, self._keep = stop, directory, keep
        self._links: dict[str, str] = {}
        self._folders = {""}

    def folder(self, name: str) -> None:
        """Have this folder."""
        if name in self._folders:
            return
        try:
            os.makedirs(f"{self._directory}/{name}", mode=0o755, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise StoreError(f"{name!r} is both a file and a folder in the archive") from None
        self._folders.add(name)

    def file(self, name: str, source: Any, size: int, about: tuple[int, float]) -> None:
        """A file of this content; `size` is what the archive says, `about` mode and time."""
        path = self._cleared(name)
        _check_room(self._directory, size, self._keep)
        _pour(self._stop, source, path, self._keep)
        _finish(path, *about)

    def link(self, name: str, target: str) -> None:
        """A symbolic link, made at the end."""
        self._links[name] = target

    def again(self, name: str, original: str) -> None:
        """The same as a member before."""
        if original in self._links:
            self._links[name] = self._links[original]
        elif not _is_file(f"{self._directory}/{original}"):
            raise StoreError(f"{name!r} is a link to {original!r}, which is not in the archive before it")
        elif name != original:
            os.link(f"{self._directory}/{original}", self._cleared(name), follow_symlinks=False)

    def finish(self) -> None:
        """Make the links; `StoreError` if one leads out. Their folders come first, while there is no link to follow."""
        links = self._links.copy()
        for name, target in links.items():
            if target.startswith("/") or not target:
                raise _escape(f"the link {name!r} to {target!r}")
            self.folder(name.rpartition("/")[0])
        for name, target in links.items():
            os.symlink(target, self._cleared(name))
        check_links(self._directory, list(links))

    def _cleared(self, name: str) -> str:
        """Where a member of this name goes, with its folder made and an earlier one gone."""
        self._links.pop(name, None)
        self.folder(name.rpartition("/")[0])
        path = f"{self._directory}/{name}"
        if _is_file(path):
            os.unlink(path)
        elif os.path.lexists(path):
            raise StoreError(f"{name!r} is both a file and a folder in the archive")
        return path


def _put_member(target: _Target, name: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if member.isdir():
        target.folder(name)
    elif member.issym():
        target.link(name, member.linkname)
    elif member.islnk():
        target.again(name, _inside(member.linkname))
    elif member.isfile() and (source := tar.extractfile(member)) is not None:
        target.file(name, source, member.size, (member.mode, member.mtime))
    else:
        raise StoreError(f"{name!r} is a device or a pipe, which no input can be: make the archive without it")


def _put_zipped(target: _Target, name: str, zipped: Any, info: Any) -> None:
    mode = info.external_attr >> 16 if info.create_system == 3 else 0  # 3: Unix
    if info.header_offset < 0:
        raise StoreError(f"{name!r} is said to begin before the archive does: it is damaged")
    if info.flag_bits & 1:
        raise StoreError(f"{name!r} is encrypted, and there is no password: make the archive without one")
    if info.is_dir():
        target.folder(name)
    elif stat.S_ISLNK(mode):
        if info.file_size > 4096:
            raise StoreError(f"the link {name!r} has a target of {info.file_size} bytes")
        target.link(name, os.fsdecode(zipped.read(info)))
    elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
        with zipped.open(info) as source:
            target.file(name, source, info.file_size, (mode, float(timegm((*info.date_time, 0, 0, 0)))))
    else:
        raise StoreError(f"{name!r} is a device or a pipe, which no input can be: make the archive without it")


def _inside(name: str) -> str:
    """A member's name as a path below the directory; empty if it is the directory itself."""
    segments = [s for s in name.split("/") if s not in ("", ".")]
    if name.startswith("/") or ".." in segments or "\0" in name:
        raise _escape(repr(name))
    return "/".join(segments)


def _escape(what: str) -> StoreError:
    return StoreError(
        f"{what} leads out of the directory: refused; make the archive with paths and links inside itself"
    )


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _pour(stop: Event, source: Any, target: str, keep: int) -> None:
    """All of `source` into the new file `target`, looking at `stop` and at the free space."""
    with open(target, "xb", buffering=0) as dst:
        while piece := source.read(PIECE):
            _look(stop)
            _check_room(target, len(piece), keep)
            view = memoryview(piece)
            while view:
                view = view[dst.write(view) :]


def _check_room(path: str, size: int, keep: int) -> None:
    disk = os.statvfs(path)
    if (free := disk.f_bavail * disk.f_frsize) < size + keep:
        raise StoreError(
            f"unpacking needs {size} bytes more, and only {max(0, free - keep)} are left on this host's disk: free space",
            retriable=True,
            disk_full=True,
        )


def _finish(path: str, mode: int, mtime: float) -> None:
    os.chmod(path, 0o755 if mode & 0o111 else 0o644)
    if 0 < mtime < 1 << 34:
        os.utime(path, (mtime, mtime))


def _look(stop: Event) -> None:
    if stop.is_set():
        raise Stopped


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """What libraries raise at damaged bytes becomes one error that says so."""
    name = os.path.basename(path)
    import lzma

    from zstandard import ZstdError

    try:
        yield
    except (StoreError, Stopped):
        raise
    except (EOFError, *_BAD, lzma.LZMAError, ZstdError) as err:
        if isinstance(err, EOFError) or "end of data" in str(err):
            raise StoreError(f"{name} ends too early, it was cut off: make it again") from err
        raise StoreError(f"{name} is damaged, or not what its name says: {err}") from err
    except OSError as err:
        if err.errno is not None:
            raise
        raise StoreError(f"{name} is damaged, or not what its name says: {err}") from err


def _gzip(path: str) -> IO[bytes]:
    from isal import igzip_threaded

    opened: IO[bytes] = igzip_threaded.open(path, "rb", threads=1)  # type: ignore[no-untyped-call]
    return opened


def _plain(path: str) -> IO[bytes]:
    """An archive without its compression, which is known by its first bytes."""
    with open(path, "rb") as start:
        magic = start.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return _gzip(path)
    if magic.startswith(b"BZh"):
        import bz2

        return bz2.open(path, "rb")
    if magic.startswith(b"\xfd7zXZ\0"):
        import lzma

        return lzma.open(path, "rb")
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        opened: IO[bytes] = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
            open(path, "rb"),  # noqa: SIM115 -- the reader closes it
            read_across_frames=True,
            closefd=True,
        )
        return opened
    return open(path, "rb")
