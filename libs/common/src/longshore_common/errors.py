"""What can go wrong, named for what the reader should do next.

One base class; each border translates foreign errors into these once. `exit_code` is what the command line returns.
"""


class LongshoreError(Exception):
    """Base of all our errors; its text is one line that names the fix."""

    exit_code = 1


class BadInput(LongshoreError):
    """The caller's words are wrong: correct them and call again."""

    exit_code = 2


class Refused(LongshoreError):
    """The system understood and said no: read the reason, change what it names."""


class NotFound(LongshoreError):
    """There is no such thing: check the id, or list what there is."""


class Unreachable(LongshoreError):
    """A service did not answer in time: start it, or try again later; nothing was changed or it is safe to repeat."""

    exit_code = 3


class Conflict(LongshoreError):
    """Another writer was first: read again and decide again."""


class Deposed(Conflict):
    """Another dispatcher leads: stop deciding at once and follow as a standby."""


class Trimmed(LongshoreError):
    """The log begins later than where it is asked for: begin from a snapshot, or from the archive."""


class Unreadable(LongshoreError):
    """Bytes at a border that are no known event, field or state: shown in the text, never guessed at."""
