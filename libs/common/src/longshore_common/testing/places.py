"""Folders of tests as other users see them. What must not enter: what is put there."""

import tempfile
from pathlib import Path


def reachable(place: Path) -> None:
    """Everybody may read this folder and get to it: pytest's own are closed, at whatever depth it makes them."""
    for folder in (place, *place.parents):
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o755)
