"""Which relative paths a pattern means, as shells and .gitignore files have taught: `*` stops at slashes, `**` does not.

A pattern without a slash is matched against the name alone, at any depth: `*.bam` means `a/b/x.bam` too. `{a,b}` are
alternatives, and names that begin with a dot are names like others. What must not enter: disks.
"""

from functools import lru_cache
from typing import Final

from wcmatch import glob

_FLAGS: Final = glob.GLOBSTAR | glob.BRACE | glob.DOTGLOB | glob.MATCHBASE | glob.FORCEUNIX


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> glob.WcMatcher[str]:
    return glob.compile(pattern, flags=_FLAGS)


def matches(pattern: str, path: str) -> bool:
    """Whether this relative path is one of those the pattern means."""
    return _compiled(pattern).match(path)
