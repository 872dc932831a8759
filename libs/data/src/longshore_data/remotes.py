"""Remotes: the text of an rclone configuration, read as far as we need it: which names there are, and what is behind each.

What must not enter: starting rclone, where the text comes from, printing values (they are credentials).
"""

import configparser
import re
from collections.abc import Iterable, Mapping
from typing import Final

from longshore_common.errors import BadInput
from longshore_data.uri import BUILT_IN

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", re.ASCII)

_SECRET_KEY: Final = re.compile(r"pass|key|secret|token|sas|auth|cred|cookie|pem|pin", re.IGNORECASE)
_SECRET_PART: Final = re.compile(
    r"(://[^/@:\s]*:(?=[^/@\s]+@)|[?&;][^=&#\s]*(?:sig|token|key|secret|credential)[^=&#\s]*=)[^&#@\s'\"]+"
)


class Remotes:
    """Named storage. `repr` shows names only."""

    def __init__(self, sections: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._sections = {name: dict(section) for name, section in (sections or {}).items()}

    def __repr__(self) -> str:
        return f"Remotes({', '.join(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted; each is a scheme."""
        return tuple(sorted(self._sections))

    def section(self, name: str) -> Mapping[str, str]:
        """What is configured under this name; `BadInput` names those there are."""
        if name not in self._sections:
            known = ", ".join(f"{n}://" for n in self.names) or "none"
            raise BadInput(
                f"{name}:// is neither built in nor a remote of this worker (it has {known}): "
                "give it one with `longshore remote share`"
            )
        return self._sections[name]

    def with_more(self, other: "Remotes") -> "Remotes":
        """Both; where a name stands in both, the other's."""
        return Remotes({**self._sections, **other._sections})

    def only(self, names: Iterable[str]) -> "Remotes":
        """Those of these names, and those that they stand upon (`crypt` and its like); `BadInput` for one that is not there."""
        found: dict[str, Mapping[str, str]] = {}
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in found:
                found[name] = self.section(name)
                todo += [other for other in self.names if _stands_upon(found[name], other)]
        return Remotes(found)

    def hidden(self, words: str) -> str:
        """`words` without what may be secret of this configuration, and without the passwords and signatures of URLs."""
        for section in self._sections.values():
            for key, value in section.items():
                if len(value) > 3 and _SECRET_KEY.search(key):
                    words = words.replace(value, "…")
        return _SECRET_PART.sub(r"\1…", words)

    def text(self) -> str:
        """The configuration, to be kept where only its owner reads."""
        lines: list[str] = []
        for name in self.names:
            lines += [f"[{name}]", *(f"{key} = {value}" for key, value in self._sections[name].items()), ""]
        return "\n".join(lines)


def read(text: str) -> Remotes:
    """The remotes of an rclone configuration. `BadInput`, without showing values, if it is none or is encrypted."""
    if text.lstrip().startswith(("# Encrypted rclone", "RCLONE_ENCRYPT_V0")):
        raise BadInput("this rclone configuration is encrypted: print it with `rclone config show` and give that")
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=True, empty_lines_in_values=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error as err:
        raise BadInput(
            f"not an rclone configuration: {type(err).__name__} in {getattr(err, 'lineno', 'its')} lines"
        ) from None
    sections = {name: dict(parser[name]) for name in parser.sections()}
    for name, section in sections.items():
        if not _NAME.fullmatch(name) or (name in BUILT_IN and not (name == "s3" and section.get("type") == "s3")):
            raise BadInput(f"a remote cannot be called {name!r}: use letters, digits, - and _, and no built-in scheme")
        if "type" not in section:
            raise BadInput(f"the remote {name!r} has no type")
    return Remotes(sections)


def _stands_upon(section: Mapping[str, str], other: str) -> bool:
    """Whether a section names another remote, as `crypt`, `union` and their like do: `name:` at the start of a word."""
    return any(
        re.search(rf"(?:^|[\s,=\"]){re.escape(other)}(?:,[^:\s]*)?:", section.get(key, ""))
        for key in ("remote", "remotes", "upstreams")
    )
