"""What a command holds open: the stack's profile, the bookmark, a reader; and who is calling.

What must not enter: asyncio, NATS before something is written.
"""

import os
import socket
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from longshore.bookmark import Bookmark, home
from longshore_common.profile import Profile, load, state_dir
from longshore_slurm.submission import Submitter

if TYPE_CHECKING:
    from longshore.reader import Reader
    from longshore_common.events import Event


class Door:
    """One command's way to one stack."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.state_dir = state_dir(environ)

    @cached_property
    def profile(self) -> Profile:
        """The stack this user talks to."""
        return load(self.state_dir)

    @cached_property
    def bookmark(self) -> Bookmark:
        """What was written last: a read after it shows it."""
        return Bookmark(home(self.state_dir, self.environ))

    @cached_property
    def reader(self) -> "Reader":
        """HTTP, opened at the first read."""
        from longshore.reader import Reader

        return Reader(self.profile, self.bookmark)

    def wish(self, event: "Event", key: str = "") -> int:
        """Append one wish; its sequence."""
        from longshore import once

        return once.wish(self.profile, self.bookmark, event, key=key)

    def submitter(self) -> Submitter:
        """Who calls, and as whom their jobs run: as themselves where the stack is another's, else as the agent's user."""
        uid = os.getuid()
        mask = os.umask(0o077)
        os.umask(mask)
        name = self.environ.get("USER") or self.environ.get("LOGNAME") or str(uid)
        return Submitter(name, uid, os.getgid(), socket.gethostname(), os.getcwd(), mask, self._as_user(uid))

    def _as_user(self, uid: int) -> bool:
        said = self.environ.get("LONGSHORE_SLURM_AS")
        if said is not None:
            return said == "self"
        if self.state_dir.parent.name == "profiles":  # somebody who logged in, to a stack elsewhere
            return uid != 0
        try:
            owner = self.state_dir.stat().st_uid
        except OSError:
            return False
        return uid not in (0, owner)
