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
        """Those that are schemes, sorted."""
        return tuple(sorted(name for name, section in self._sections.items() if _is_scheme(name, section)))

    @property
    def nameless(self) -> tuple[str, ...]:
        """Those whose names cannot be schemes: only other remotes can stand upon them."""
        return tuple(sorted(self._sections.keys() - set(self.names)))

    def section(self, name: str) -> Mapping[str, str]:
        """What is configured under this name; `BadInput` names those there are."""
        if name not in self.names:
            known = ", ".join(f"{n}://" for n in self.names) or "none"
            raise BadInput(
                f"{name}:// is neither built in nor a remote known here (known: {known}): "
                "correct it, or configure it with rclone; workers get it by `longshore remote share`"
            )
        return self._sections[name]

    def with_more(self, other: "Remotes") -> "Remotes":
        """Both; where a name stands in both, the other's."""
        return Remotes({**self._sections, **other._sections})

    def only(self, names: Iterable[str]) -> "Remotes":
        """Those of these names, and those that they stand upon (`crypt` and its like); `BadInput` for one that is not there."""
        found = {name: self.section(name) for name in names}
        todo = list(found)
        while todo:
            section = found[todo.pop()]
            more = [n for n in self._sections if n not in found and _stands_upon(section, n)]
            found |= {name: self._sections[name] for name in more}
            todo += more
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
        for name in sorted(self._sections):
            lines += [f"[{name}]", *(f"{key} = {value}" for key, value in self._sections[name].items()), ""]
        return "\n".join(lines)


def read(text: str) -> Remotes:
    """The remotes of an rclone configuration. `BadInput`, without showing values, if it is none or is encrypted."""
    if text.lstrip().startswith(("# Encrypted rclone", "RCLONE_ENCRYPT_V0")):
        raise BadInput("this rclone configuration is encrypted: print it with `rclone config show` and give that")
    parser = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), strict=True, empty_lines_in_values=False, default_section="\0"
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error as err:
        raise BadInput(
            f"not an rclone configuration: {type(err).__name__} in {getattr(err, 'lineno', 'its')} lines"
        ) from None
    sections = {name: dict(parser[name]) for name in parser.sections()}
    for name, section in sections.items():
        if "type" not in section:
            raise BadInput(f"the remote {name!r} has no type")
    return Remotes(sections)


def _is_scheme(name: str, section: Mapping[str, str]) -> bool:
    """Whether a URI can begin with this name and mean this remote; one of type s3 may take the place of `s3` itself."""
    taken = name.lower() in BUILT_IN and not (name == "s3" and section.get("type") == "s3")
    return _NAME.fullmatch(name) is not None and not taken


def _stands_upon(section: Mapping[str, str], other: str) -> bool:
    """Whether a section names another remote, as `crypt`, `union` and their like do: `name:` at the start of a word."""
    return any(
        re.search(rf"(?:^|[\s,=\"]){re.escape(other)}(?:,[^:\s]*)?:", section.get(key, ""))
        for key in ("remote", "remotes", "upstreams")
    )
