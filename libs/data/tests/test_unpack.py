"""Archives of every kind, honest and hostile, on a real disk."""

import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import stat
import subprocess
import tarfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from longshore_data import unpack
from longshore_data.parallel import Stopped
from longshore_data.store import StoreError

NAMES = [
    "plain",
    "with space",
    "quo'te\"",
    "été-日本語.bin",
    "deep/er/x",
    "-dash",
    "a#?%&+|b",
    "*",
    "n" * 150 + "/" + "m" * 200,
]
NEVER = threading.Event()


def content(name: str) -> bytes:
    return name.encode() * 1000


def tarred(mode: str = "w:", names: list[str] = NAMES, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as tar:  # type: ignore[call-overload]
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content(name)), 1_500_000_000
            info.mode = 0o640 if name != "plain" else 0o750
            tar.addfile(info, io.BytesIO(content(name)))
    return out.getvalue()


def crafted(*members: tuple[str, bytes, str]) -> bytes:
    """A tar archive of (name, type, link target); regular files hold their name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = len(name.encode()) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(name.encode()))
    return out.getvalue()


def in_two(data: bytes) -> bytes:
    return gzip.compress(data[:70000]) + gzip.compress(data[70000:])


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def unpacked(tmp_path: Path, data: bytes, name: str = "a.tar", keep: int = 0) -> Path:
    archive, target = tmp_path / name, tmp_path / "out"
    archive.write_bytes(data)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    work = unpack.unzip if name.endswith(".zip") else unpack.untar
    work(NEVER, str(archive), str(target), keep)
    return target


def refused(tmp_path: Path, data: bytes, name: str = "a.tar") -> str:
    with pytest.raises(StoreError) as caught:
        unpacked(tmp_path, data, name)
    assert not caught.value.retriable
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "out"]), "something got out"
    return str(caught.value)


@pytest.mark.parametrize(
    "wrap",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress, in_two],
    ids=["plain", "gz", "bz2", "xz", "zst", "gz of two members"],
)  # fmt: skip
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_any_tar_is_unpacked_whatever_compressed_it(tmp_path: Path, wrap: Callable[[bytes], bytes], form: int) -> None:
    target = unpacked(tmp_path, wrap(tarred(form=form)))
    assert tree(target) == {name: content(name) for name in NAMES}
    assert [stat.S_IMODE((target / n).stat().st_mode) for n in ("plain", "-dash")] == [0o755, 0o644]
    assert (target / "plain").stat().st_mtime == 1_500_000_000


def test_a_tar_of_gnu_tar_with_holes_and_links_is_unpacked(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "sub" / "empty").mkdir(parents=True)
    with (made / "holes").open("wb") as f:
        f.seek(3 << 20)
        f.write(b"end")
    (made / "same").write_text("same")
    os.link(made / "same", made / "sub" / "again")
    (made / "link").symlink_to("sub/again")
    (made / "folder link").symlink_to("sub")
    subprocess.run(["tar", "-C", made, "--sparse", "-czf", tmp_path / "a.tar", "."], check=True, timeout=20)
    target = tmp_path / "out"
    target.mkdir()
    unpack.untar(NEVER, str(tmp_path / "a.tar"), str(target), 0)
    assert (target / "holes").read_bytes() == bytes(3 << 20) + b"end"
    assert (target / "sub" / "again").read_text() == (target / "link").read_text() == "same"
    assert (target / "folder link").is_symlink()
    assert (target / "sub" / "empty").is_dir()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("/etc/x", tarfile.REGTYPE, "")], "leads out"),
        ([("../x", tarfile.REGTYPE, "")], "leads out"),
        ([("a/../../x", tarfile.REGTYPE, "")], "leads out"),
        ([("l", tarfile.SYMTYPE, "/etc")], "leads out"),
        ([("l", tarfile.SYMTYPE, "..")], "leads out"),
        ([("d/e", tarfile.DIRTYPE, ""), ("d/e/up", tarfile.SYMTYPE, "../.."), ("x", tarfile.SYMTYPE, "d/e/up/..")],
         "leads out"),
        ([("l", tarfile.SYMTYPE, ".."), ("l/x", tarfile.REGTYPE, "")], "both a file and a folder"),
        ([("l", tarfile.SYMTYPE, ".."), ("l/x", tarfile.SYMTYPE, "y")], "both a file and a folder"),
        ([("l/x", tarfile.SYMTYPE, "y"), ("l", tarfile.SYMTYPE, "..")], "both a file and a folder"),
        ([("h", tarfile.LNKTYPE, "/etc/passwd")], "leads out"),
        ([("h", tarfile.LNKTYPE, "../a.tar")], "leads out"),
        ([("h", tarfile.LNKTYPE, "not there")], "not in the archive before it"),
        ([("d", tarfile.DIRTYPE, ""), ("h", tarfile.LNKTYPE, "d")], "not in the archive before it"),
        ([("dev", tarfile.CHRTYPE, "")], "device"),
        ([("pipe", tarfile.FIFOTYPE, "")], "pipe"),
        ([("a", tarfile.REGTYPE, ""), ("a/b", tarfile.REGTYPE, "")], "both a file and a folder"),
        ([("a/b", tarfile.REGTYPE, ""), ("a", tarfile.REGTYPE, "")], "both a file and a folder"),
    ],
)  # fmt: skip
def test_a_member_that_would_leave_the_directory_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes, str]], words: str
) -> None:
    assert words in refused(tmp_path, crafted(*members))


def test_the_last_of_one_name_counts_and_odd_but_safe_names_are_taken(tmp_path: Path) -> None:
    target = unpacked(
        tmp_path,
        crafted(
            ("./", tarfile.DIRTYPE, ""), ("./a//b", tarfile.REGTYPE, ""), ("a/b", tarfile.SYMTYPE, "c"),
            ("a/c", tarfile.REGTYPE, ""), ("loop", tarfile.SYMTYPE, "loop"), ("hard", tarfile.LNKTYPE, "./a/c"),
        ),
    )  # fmt: skip
    assert tree(target) == {"a/b": b"a/c", "a/c": b"a/c", "hard": b"a/c"}


@pytest.mark.parametrize("wrap", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_tar_cut_off_anywhere_says_so(tmp_path: Path, wrap: Callable[[bytes], bytes], share: float) -> None:
    noise = random.Random(1).randbytes(300_000)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("a", "b"):
            info = tarfile.TarInfo(name)
            info.size = len(noise)
            tar.addfile(info, io.BytesIO(noise))
    data = wrap(out.getvalue()[: 1024 + 2 * (len(noise) + 511) // 512 * 512 + 1024])
    words = refused(tmp_path, data[: int(len(data) * share)])
    assert "cut off" in words


def test_a_tar_without_its_end_or_with_a_damaged_header_is_no_short_archive(tmp_path: Path) -> None:
    data = bytearray(tarred(names=["a", "b", "c"]))
    second = data.index(b"b\0\0\0")
    data[second + 150] ^= 0xFF
    assert "damaged" in refused(tmp_path, bytes(data))
    whole = tarred(names=["a", "b"])
    assert "cut off" in refused(tmp_path, whole[: whole.rindex(b"b") // 512 * 512 + 512])


@pytest.mark.parametrize(
    "data", [b"", b"hello", bytes(100), b"\x1f\x8b", b"\x1f\x8bnonsense", b"BZh9x", b"\xfd7zXZ\0x"]
)
def test_what_is_no_archive_says_so(tmp_path: Path, data: bytes) -> None:
    for name in ("a.tar", "a.zip"):
        (tmp_path / "a.tar").unlink(missing_ok=True)
        words = refused(tmp_path, data, name)
        assert name in words
    with pytest.raises(StoreError, match=r"a\.zip"):
        unpack.gunzip(NEVER, str(tmp_path / "a.zip"), str(tmp_path / "x"), 0)


def test_headers_that_claim_gigabytes_of_memory_are_refused(tmp_path: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 8 << 30
        assert "a header of" in refused(tmp_path, info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16))


def test_sizes_that_are_lies_cost_no_time(tmp_path: Path) -> None:
    for name, kind in (("x", tarfile.REGTYPE), (".", tarfile.REGTYPE), ("x", b"?")):
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, 1 << 60
        target = tmp_path / "out"
        target.mkdir(exist_ok=True)
        (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16))
        then = time.monotonic()
        with pytest.raises(StoreError):
            unpack.untar(NEVER, str(tmp_path / "a.tar"), str(target), 0)
        assert time.monotonic() - then < 1


def test_what_does_not_fit_on_the_disk_is_disk_full_before_the_disk_is(tmp_path: Path) -> None:
    keep = 1 << 60
    with pytest.raises(StoreError, match="free space") as caught:
        unpacked(tmp_path, tarred(), keep=keep)
    assert (caught.value.disk_full, caught.value.retriable) == (True, True)
    info = tarfile.TarInfo("bomb")
    info.size = 1 << 50
    with pytest.raises(StoreError) as caught:
        unpacked(tmp_path, info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20), name="b.tar")
    assert caught.value.disk_full
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(1 << 20)))
    with pytest.raises(StoreError) as caught:
        unpack.gunzip(NEVER, str(tmp_path / "x.gz"), str(tmp_path / "x"), keep)
    assert caught.value.disk_full


def test_a_gzip_file_of_several_members_is_whole_and_one_cut_off_says_so(tmp_path: Path) -> None:
    noise = random.Random(2).randbytes(3 << 20)
    data = gzip.compress(noise) + gzip.compress(b"") + gzip.compress(b"end")
    source, target = tmp_path / "x.gz", tmp_path / "x"
    source.write_bytes(data)
    unpack.gunzip(NEVER, str(source), str(target), 0)
    assert target.read_bytes() == noise + b"end"
    for cut in (1, 9, len(data) // 2):
        target.unlink(missing_ok=True)
        source.write_bytes(data[:-cut])
        with pytest.raises(StoreError, match=r"x\.gz ends too early"):
            unpack.gunzip(NEVER, str(source), str(target), 0)
    target.unlink(missing_ok=True)
    source.write_bytes(data[:1000] + b"XXXX" + data[1004:])
    with pytest.raises(StoreError, match=r"x\.gz is damaged"):
        unpack.gunzip(NEVER, str(source), str(target), 0)


def zipped(members: dict[str, bytes], *, mode: int = 0o644, kind: int = stat.S_IFREG) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z, warnings.catch_warnings(action="ignore"):
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6))
            info.external_attr, info.compress_type = (kind | mode) << 16, zipfile.ZIP_DEFLATED
            z.writestr(info, data)
    return out.getvalue()


def test_a_zip_is_unpacked_with_modes_times_and_links(tmp_path: Path) -> None:
    target = unpacked(tmp_path, zipped({name: content(name) for name in NAMES}, mode=0o755), "a.zip")
    assert tree(target) == {name: content(name) for name in NAMES}
    assert stat.S_IMODE((target / "plain").stat().st_mode) == 0o755
    assert time.gmtime((target / "plain").stat().st_mtime)[:6] == (2020, 1, 2, 3, 4, 6)
    target = unpacked(tmp_path, zipped({"l": b"plain"}, kind=stat.S_IFLNK), "b.zip")
    assert os.readlink(target / "l") == "plain"


def test_a_zip_that_would_leave_the_directory_or_is_encrypted_or_damaged_is_refused(tmp_path: Path) -> None:
    for name in ("/etc/x", "../x", "a/../../x"):
        assert "leads out" in refused(tmp_path, zipped({name: b"x"}), "a.zip")
    for target in (b"/etc", b"../x", b".."):
        assert "leads out" in refused(tmp_path, zipped({"l": target}, kind=stat.S_IFLNK), "a.zip")
    assert "device" in refused(tmp_path, zipped({"d": b""}, kind=stat.S_IFCHR), "a.zip")
    data = zipped({"a": random.Random(3).randbytes(5000)})
    assert "cut off" in refused(tmp_path, data[:-30], "a.zip")
    damaged = bytearray(data)
    damaged[1000] ^= 1
    assert "zip" in refused(tmp_path, bytes(damaged), "a.zip")
    encrypted = bytearray(zipped({"a": b"x"}))
    encrypted[6] |= 1
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    assert "encrypted" in refused(tmp_path, bytes(encrypted), "a.zip")


def test_a_zip_that_lists_gigabytes_of_names_is_refused_unread(tmp_path: Path) -> None:
    data = bytearray(zipped({"a": b"x"}))
    end = data.rindex(b"PK\5\6")
    data[end + 12 : end + 16] = (1 << 30).to_bytes(4, "little")
    assert "make a tar" in refused(tmp_path, bytes(data), "a.zip")
    wide = data[:end] + b"PK\6\6" + bytes(36) + (1 << 40).to_bytes(8, "little") + bytes(8) + data[end:]
    wide[-10:-6] = b"\xff" * 4
    assert "make a tar" in refused(tmp_path, bytes(wide), "a.zip")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=4)), max_size=6),
    st.booleans(),
    st.booleans(),
)
@example([(186, b"\x01")], False, True)  # a member that begins before the archive
def test_whatever_bytes_change_the_error_is_ours_and_nothing_gets_out(
    tmp_path: Path, changes: list[tuple[int, bytes]], gz: bool, zip_: bool
) -> None:
    data = bytearray(zipped({"a": b"1" * 50, "b/c": b"2"}) if zip_ else tarred(names=["a", "b/c"]))
    for at, new in changes:
        data[at : at + len(new)] = new
    name = "a.zip" if zip_ else "a.tar"
    packed = gzip.compress(bytes(data)) if gz and not zip_ else bytes(data)
    target = tmp_path / "out"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    (tmp_path / name).write_bytes(packed)
    with suppress(StoreError):  # an OSError would be one of the disk: none is due here
        (unpack.unzip if zip_ else unpack.untar)(NEVER, str(tmp_path / name), str(target), 0)
    assert {p.name for p in tmp_path.iterdir()} <= {"a.tar", "a.zip", "out"}


@pytest.mark.parametrize("kind", ["gz", "tar", "xz", "zip"])
def test_unpacking_ends_within_a_second_when_told_to(tmp_path: Path, kind: str) -> None:
    zeros = bytes(1 << 20)
    source = tmp_path / f"a.{kind}"
    if kind == "gz":
        source.write_bytes(gzip.compress(zeros, 1) * 4000)
    elif kind == "zip":
        with (
            zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z,
            z.open("x", "w", force_zip64=True) as f,
        ):
            for _ in range(300):
                f.write(zeros)
    else:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for number in range(20000):
                tar.addfile(tarfile.TarInfo(f"{number}"))
        source.write_bytes(lzma.compress(out.getvalue(), preset=0) if kind == "xz" else out.getvalue())
    stop, target = threading.Event(), tmp_path / "out"
    target.mkdir()
    ended: list[object] = []

    def work() -> None:
        try:
            if kind == "gz":
                unpack.gunzip(stop, str(source), str(target / "x"), 0)
            else:
                (unpack.unzip if kind == "zip" else unpack.untar)(stop, str(source), str(target), 0)
        except BaseException as err:
            ended.append(err)

    thread = threading.Thread(target=work)
    thread.start()
    while not any(target.iterdir()) and thread.is_alive():
        time.sleep(0.005)
    stop.set()
    then = time.monotonic()
    thread.join(5)
    assert time.monotonic() - then < 1
    assert [type(e) for e in ended] == [Stopped]
