"""URIs of inputs, resources and outputs: read, filled in, and turned into safe places.

A URI is taken byte for byte: no percent-decoding, so `file:///data/a b%20.txt` is a file of that very name, and what a
shell or a glob printed can be used as it is. What must not enter: storage, local paths of this host, the clock.
"""

import re
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, get_args

from longshore_common.errors import BadInput

Scheme = Literal["file", "s3"]
SUPPORTED: Final = get_args(Scheme)
#: The folder below an output that is ours; readers of folders never see it, tasks may not write it.
RESERVED: Final = ".longshore"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:@[^:/]*)?://", re.ASCII)
_ACTION = re.compile(r"\|(gunzip|untar|unzip|mv:|rename:)[^/]*$")
_FIELD = re.compile(r"\{(index|entry|name)\}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


class Location(NamedTuple):
    """A place in storage. `key` has no slash at its end; for `file` it is the absolute path and `bucket` is empty.

    `folder`: everything below the place is meant, not one file.
    """

    scheme: Scheme
    bucket: str
    key: str
    folder: bool = False

    def __str__(self) -> str:
        slash = "/" if self.folder and self.key not in ("", "/") else ""
        return f"file://{self.key}{slash}" if self.scheme == "file" else f"s3://{self.bucket}/{self.key}{slash}"

    @property
    def name(self) -> str:
        """The last segment of the path; empty for a root."""
        return self.key.rpartition("/")[2]

    def below(self, path: str, *, folder: bool = False) -> "Location":
        """The place `path` below this folder; `path` must have passed `safe_path`."""
        key = f"{self.key.removesuffix('/')}/{path}" if self.key else path
        return Location(self.scheme, self.bucket, key, folder)


def parse(uri: str) -> Location:
    """The place that `uri` names: one file, or a folder if it ends in `/`. `BadInput` names the fix."""
    match = _SCHEME.match(uri)
    if match is None:
        raise BadInput(_plain_path(uri))
    if "\0" in uri:
        raise BadInput(f"{uri!r} contains a zero byte, which no storage can name: remove it")
    if action := _ACTION.search(uri):
        raise BadInput(f"{uri!r}: the action {action.group()!r} is not supported yet: do it in the task's command")
    rest = uri[match.end() :]
    match match.group(1).lower():
        case "file":
            return _file(uri, rest)
        case "s3":
            return _s3(uri, rest)
        case other:
            raise BadInput(f"{uri!r}: the scheme {other!r} is not supported; supported are {_listed()}")


def parse_output(uri: str) -> Location:
    """The folder that `uri` names as a task's output, with or without `/` at its end. `BadInput` names the fix."""
    place = parse(uri)
    if RESERVED in place.key.split("/"):
        raise BadInput(f"{uri!r}: {RESERVED} is where Longshore keeps unpublished outputs: choose another folder")
    return place._replace(folder=True)


def expand(text: str, index: int, entry: str) -> str:
    """`text` with `{index}`, `{entry}` and `{name}` (last path segment of the entry) replaced, each once; no other braces.

    `BadInput` if the entry is asked for and the task has none.
    """

    def value(match: re.Match[str]) -> str:
        field = match.group(1)
        if field == "index":
            return str(index)
        if not entry:
            raise BadInput(f"{text!r} uses {{{field}}}, but the task has no entry: submit with --each or --each-line")
        return entry if field == "entry" else entry.rstrip("/").rpartition("/")[2]

    return _FIELD.sub(value, text) if "{" in text else text


def safe_path(path: str) -> str:
    """`path` itself if it is relative and stays below where it starts; `BadInput` if not."""
    segments = path.split("/")
    if not path or "\0" in path or any(s in ("", ".", "..") for s in segments):
        raise BadInput(f"{path!r} is not a safe relative path: no '..', no '.', no empty segment, not absolute")
    return path


def reserved(path: str) -> bool:
    """Whether a relative path belongs to Longshore, not to the user."""
    return RESERVED in path.split("/")


def private(output: Location, attempt: str) -> Location:
    """`<output>/.longshore/<attempt>/`: where an attempt's outputs lie until they are published."""
    return output.below(f"{RESERVED}/{attempt}", folder=True)


def manifest(output: Location, task: str) -> Location:
    """`<output>/.longshore/<task>.json`: names, sizes and digests of what the task published, written last."""
    return output.below(f"{RESERVED}/{task}.json")


def clashes(paths: Iterable[str]) -> str | None:
    """The first of these relative paths that stands twice, or is at once a file and a folder of another; None if none."""
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            return path
        seen.add(path)
    for path in seen:
        end = path.find("/")
        while end >= 0:
            if path[:end] in seen:
                return path[:end]
            end = path.find("/", end + 1)
    return None


def _listed() -> str:
    return " and ".join(f"{scheme}://" for scheme in SUPPORTED)


def _plain_path(uri: str) -> str:
    if uri.startswith("/"):
        return f"{uri!r} is a plain path: write file://{uri} if every worker can read it there, or copy it to s3://"
    return f"{uri!r} is not a URI: write file:///absolute/path or s3://bucket/key"


def _file(uri: str, rest: str) -> Location:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise BadInput(f"{uri!r}: a file is on the worker's own host: write file:///absolute/path, with three slashes")
    segments = [s for s in path.split("/") if s not in ("", ".")]
    if ".." in segments:
        raise BadInput(f"{uri!r} contains '..': write the path it means")
    folder = not segments or path.endswith(("/", "/."))
    return Location("file", "", "/" + "/".join(segments), folder)


def _s3(uri: str, rest: str) -> Location:
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise BadInput(f"{uri!r}: {bucket!r} is not a bucket's name: write s3://bucket/key")
    if key.endswith("//"):
        raise BadInput(f"{uri!r} ends in more than one slash: write one for a folder")
    return Location("s3", bucket, key.removesuffix("/"), not key or key.endswith("/"))
