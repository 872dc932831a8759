"""Programs that drive Longshore, each in a virtual environment of its own: what they require does not go together with ours.

Made once per machine and set of versions, below the cache directory; nothing is skipped if they cannot be had.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Our packages that such a program calls.
OURS = ("libs/common", "libs/data", "libs/client", "libs/slurm")


def environment(name: str, *packages: str, ours: tuple[str, ...] = ()) -> Path:
    """The `bin` of an environment that holds these packages, and ours if any of their directories are named."""
    wanted = [*packages, *(f"-e{ROOT / place}" for place in ours)]
    mark = hashlib.sha256("\n".join([sys.version, str(ROOT), *wanted]).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "longshore" / "peers" / f"{name}-{mark}"
    if not (home / "done").exists():
        shutil.rmtree(home, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        called(uv, "venv", "-q", "--python", sys.executable, home)
        called(uv, "pip", "install", "-q", "--python", home / "bin/python", *wanted)
        (home / "done").touch()
    return home / "bin"


def called(*words: str | Path) -> None:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{words}: {done.stderr[-3000:]}"
