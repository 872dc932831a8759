"""`longshore image` as a user types it: a real engine's image into a real folder, and what is said of it."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

LONGSHORE = str(Path(sys.executable).parent / "longshore")


def longshore(*words: str, code: int = 0, **environ: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [LONGSHORE, *words], env={**os.environ, **environ}, capture_output=True, text=True, timeout=99, stdin=subprocess.DEVNULL
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def image(tmp_path: Path) -> str:
    if shutil.which("docker") is None:
        pytest.skip("NO CONTAINER ENGINE: install docker.io; publishing was not tested")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file").write_text("x" * 100_000)
    with tarfile.open(tmp_path / "root.tar", "w") as tar:
        tar.add(tmp_path / "root", "")
    name = "longshore-test/published:1.5"
    subprocess.run(["docker", "import", str(tmp_path / "root.tar"), name], check=True, capture_output=True, timeout=60)
    return name


def identity(name: str) -> str:
    done = subprocess.run(
        ["docker", "image", "inspect", "-f", "{{.Id}}", name], check=True, capture_output=True, timeout=20
    )
    return done.stdout.decode().strip()


@pytest.mark.engine
@pytest.mark.parametrize("ending", [".tar.gz", ".tar.zst", ".tar"])
def test_what_was_published_loads_as_the_same_image_under_no_name(tmp_path: Path, image: str, ending: str) -> None:
    was = identity(image)
    printed = longshore("image", "publish", image, f"file://{tmp_path}/store/box{ending}").stdout
    assert printed == f"file://{tmp_path}/store/box{ending}@{was}\n"
    subprocess.run(["docker", "rmi", image], check=True, capture_output=True, timeout=60)
    path = tmp_path / "store" / f"box{ending}"
    unpack = {".tar": ["cat"], ".tar.gz": ["gzip", "-dc"], ".tar.zst": [sys.executable, "-c", _UNZSTD]}[ending]
    with path.open("rb") as file:
        tar = subprocess.run(unpack, stdin=file, check=True, capture_output=True, timeout=60).stdout
    loaded = subprocess.run(["docker", "load"], input=tar, check=True, capture_output=True, timeout=60).stdout.decode()
    assert loaded.strip() == f"Loaded image ID: {was}"
    subprocess.run(["docker", "rmi", was], check=True, capture_output=True, timeout=60)


_UNZSTD = "import sys, zstandard; zstandard.ZstdDecompressor().copy_stream(sys.stdin.buffer, sys.stdout.buffer)"


@pytest.mark.engine
def test_a_folder_of_images_is_listed_with_pins(tmp_path: Path, image: str) -> None:
    folder = f"file://{tmp_path}/store/"
    longshore("image", "publish", image, folder)
    (tmp_path / "store" / "other.json").write_text('{"not": "ours"}')
    (row,) = map(json.loads, longshore("image", "list", folder, "--json").stdout.splitlines())
    assert row["uri"] == f"{folder}published-1.5.tar.gz@{identity(image)}"
    assert (row["name"], row["image"]) == (image, identity(image))
    assert row["size"] == (tmp_path / "store" / "published-1.5.tar.gz").stat().st_size
    assert longshore("image", "list", folder).stdout.split("\t")[-1].strip() == row["uri"]
    assert identity(image) in (tmp_path / "store" / "published-1.5.json").read_text()
    subprocess.run(["docker", "rmi", image], check=True, capture_output=True, timeout=60)


@pytest.mark.engine
def test_an_image_that_nobody_has_is_named_with_who_was_asked(tmp_path: Path, image: str) -> None:
    done = longshore("image", "publish", "no-such/image:1", f"file://{tmp_path}/", code=1)
    assert "no-such/image:1" in done.stderr
    assert "docker" in done.stderr


def test_places_and_engines_that_cannot_be_meant_are_misuse(tmp_path: Path) -> None:
    assert "s3://" in longshore("image", "publish", "x", "plain.tar", code=2).stderr
    assert "--engine" in longshore("image", "publish", "x", f"file://{tmp_path}/", "--engine", "lxc", code=2).stderr
    assert "folder" in longshore("image", "list", f"file://{tmp_path}", code=2).stderr


def test_without_an_engine_it_is_said_which_are_missing(tmp_path: Path) -> None:
    done = longshore("image", "publish", "x", f"file://{tmp_path}/", code=1, PATH=str(tmp_path))
    assert "docker is not installed; podman is not installed" in done.stderr
