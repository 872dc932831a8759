"""URIs of inputs, resources and outputs: read, filled in, and turned into safe places.

    scheme[@option...]://rest[|action...]      s3://bucket/runs/|glob:*.bam    https@aria2://host/db.tgz|untar|mv:db

A URI is taken byte for byte: no percent-decoding (http excepted, whose servers do it), so `file:///data/a b%20.txt` is a
file of that very name, and what a shell or a glob printed can be used as it is. Every scheme that is not built in is the
name of an rclone remote. What must not enter: storage, local paths of this host, the clock.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote

from longshore_common.errors import BadInput
from longshore_data import actions
from longshore_data.actions import OURS, Action

#: The schemes with a module of their own; any other is a remote's name. `run+…`: sequencing runs by accession.
BUILT_IN: Final = ("file", "s3", "http", "https", "ftp", "run+fastq", "run+submitted")
#: The options each scheme knows.
OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "http": ("aria2",),
    "https": ("aria2",),
    "ftp": ("aria2",),
    "run+fastq": ("ftp", "https", "sra", "aspera", "filter_r1"),
    "run+submitted": ("ftp", "https", "aspera"),
}
#: The folder below an output that is ours; readers of folders never see it, tasks may not write it.
RESERVED: Final = OURS

_SCHEME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.+-]*)((?:@[^:/@|]*)*)://", re.ASCII)
_ONE_COLON = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.+-]*):/?(?!/)", re.ASCII)
_FIELD = re.compile(r"\{(index|entry|name)\}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")
_ACCESSION = re.compile(r"[A-Za-z]{1,6}[0-9]{4,12}", re.ASCII)


_SIGNED: Final = re.compile(
    r"([?&;](?=[^=&#\s]*(?:sig|token|key|secret|credential|passw|auth|policy))[^=&#\s]*=)[^&#\s'\"]+", re.IGNORECASE
)


def shown(text: str) -> str:
    """`text` without the values of signatures and tokens that the queries of its URLs carry."""
    return _SIGNED.sub(r"\1…", text)


class Location(NamedTuple):
    """A place in storage. `bucket`: that of s3, `host[:port]` of http and ftp, else empty.

    `key` has no slash at its end; for `file` it is the absolute path, for http(s) it keeps its query. `folder`:
    everything below the place is meant, not one file.
    """

    scheme: str
    bucket: str
    key: str
    folder: bool = False

    def __str__(self) -> str:
        slash = "/" if self.folder and self.key not in ("", "/") and not self.scheme.startswith("run+") else ""
        if self.bucket:
            return f"{self.scheme}://{self.bucket}/{self.key}{slash}"
        return f"{self.scheme}://{self.key}{slash}"

    @property
    def name(self) -> str:
        """What a file from here is called: the last segment of the path; empty for a root."""
        if self.scheme in ("http", "https"):
            return unquote(re.split(r"[?#]", self.key, maxsplit=1)[0].rpartition("/")[2])
        return self.key.rpartition("/")[2]

    def below(self, path: str, *, folder: bool = False) -> "Location":
        """The place `path` below this folder; `path` must have passed `safe_path`."""
        key = f"{self.key.removesuffix('/')}/{path}" if self.key else path
        return Location(self.scheme, self.bucket, key, folder)


class Source(NamedTuple):
    """What an input or a resource means: a place, how to get it, and what to do to the files that come from it."""

    place: Location
    options: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()

    def __str__(self) -> str:
        scheme, rest = str(self.place).split("://", 1)
        return "".join([scheme, *(f"@{o}" for o in self.options), "://", rest, *(f"|{a}" for a in self.actions)])


def source(uri: str) -> Source:
    """What `uri` asks to fetch. `BadInput` names the fix."""
    match = _SCHEME.match(uri)
    if match is None:
        raise BadInput(_no_uri(uri))
    if "\0" in uri:
        raise BadInput(f"{uri!r} contains a zero byte, which no storage can name: remove it")
    rest, chain = actions.split(uri, uri[match.end() :])
    scheme = match.group(1)
    if scheme.lower() in BUILT_IN:
        scheme = scheme.lower()
    options = tuple(dict.fromkeys(match.group(2).split("@")[1:]))
    for option in options:
        if option not in OPTIONS.get(scheme, ()):
            known = ", ".join(f"@{o}" for o in OPTIONS.get(scheme, ())) or "none"
            raise BadInput(f"{uri!r}: {scheme}:// has no option @{option}; it has {known}")
    place = _place(uri, scheme, rest)
    if not place.folder and (place.name in ("", ".", "..") or "/" in place.name or "\0" in place.name):
        raise BadInput(f"{uri!r}: {place.name!r} cannot be a file's name: end it in / for a folder, or name the file")
    return Source(place, options, chain)


def parse(uri: str) -> Location:
    """The place that `uri` names: one file, or a folder if it ends in `/`; no options, no actions. `BadInput` names the fix."""
    found = source(uri)
    if found.actions:
        raise BadInput(
            f"{uri!r}: the action |{found.actions[0]} has no meaning here: only inputs and resources take any"
        )
    if found.options:
        raise BadInput(
            f"{uri!r}: the option @{found.options[0]} has no meaning here: only inputs and resources take any"
        )
    return found.place


def parse_output(uri: str) -> Location:
    """The folder that `uri` names as a task's output, with or without `/` at its end. `BadInput` names the fix."""
    scheme = uri.partition("://")[0].partition("@")[0]
    if scheme in ("http", "https") or scheme.startswith("run+"):
        raise BadInput(f"{scheme}:// can only be read: choose s3://, file:// or a remote for the output")
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


def checkpoint(output: Location, task: str) -> Location:
    """`<output>/.longshore/<task>.checkpoint/`: what the task's last interrupted attempt saved for the next one."""
    return output.below(f"{RESERVED}/{task}.checkpoint", folder=True)


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


def _place(uri: str, scheme: str, rest: str) -> Location:
    match scheme:
        case "file":
            return _file(uri, rest)
        case "s3":
            return _s3(uri, scheme, rest)
        case "http" | "https" | "ftp":
            return _served(uri, scheme, rest)
        case "run+fastq" | "run+submitted":
            return _run(uri, scheme, rest)
        case _:
            return _remote(uri, scheme, rest)


def _no_uri(uri: str) -> str:
    if uri.startswith("/"):
        return f"{uri!r} is a plain path: write file://{uri} if every worker can read it there, or copy it to s3://"
    if found := _ONE_COLON.match(uri):
        return f"{uri!r} is not a URI: write {found.group(1)}://{uri[found.end() :]}, with two slashes after the colon"
    return f"{uri!r} is not a URI: write file:///absolute/path, s3://bucket/key, https://host/path or remote://path"


def _file(uri: str, rest: str) -> Location:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise BadInput(f"{uri!r}: a file is on the worker's own host: write file:///absolute/path, with three slashes")
    segments = [s for s in path.split("/") if s not in ("", ".")]
    if ".." in segments:
        raise BadInput(f"{uri!r} contains '..': write the path it means")
    folder = not segments or path.endswith(("/", "/."))
    return Location("file", "", "/" + "/".join(segments), folder)


def _s3(uri: str, scheme: str, rest: str) -> Location:
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise BadInput(f"{uri!r}: {bucket!r} is not a bucket's name: write {scheme}://bucket/key")
    if key.endswith("//"):
        raise BadInput(f"{uri!r} ends in more than one slash: write one for a folder")
    return Location(scheme, bucket, key.removesuffix("/"), not key or key.endswith("/"))


def _served(uri: str, scheme: str, rest: str) -> Location:
    host, _, key = rest.partition("/")
    if "@" in host:
        shown = f"{scheme}://…@{host.rpartition('@')[2]}/…"
        raise BadInput(f"{shown}: a password here would be readable in the log for ever: make a remote with it instead")
    if not _HOST.fullmatch(host):
        raise BadInput(f"{uri!r}: {host!r} is not a host's name: write {scheme}://host/path")
    if scheme != "ftp":
        return _page(uri, Location(scheme, host, key))
    if ".." in key.split("/"):
        raise BadInput(f"{uri!r} contains '..': write the path it means")
    folder = not key or key.endswith("/")
    root = "/" if key.startswith("/") else ""
    return Location(scheme, host, key.rstrip("/") or root if folder else key, folder)


def _page(uri: str, place: Location) -> Location:
    """A file of a web server: its name is what is after the last slash of the path."""
    path = re.split(r"[?#]", place.key, maxsplit=1)[0]
    if ".." in path.split("/"):
        raise BadInput(f"{uri!r} contains '..': write the path it means")
    if not path or path.endswith("/"):
        raise BadInput(f"{uri!r}: {place.scheme}:// has no folders: name one file")
    return place


def _run(uri: str, scheme: str, rest: str) -> Location:
    if not _ACCESSION.fullmatch(rest):
        raise BadInput(
            f"{uri!r}: {rest!r} is not a run's accession: write {scheme}://SRR000001, and choose its files with |glob:"
        )
    return Location(scheme, "", rest.upper(), folder=True)


def _remote(uri: str, scheme: str, rest: str) -> Location:
    path = rest.removeprefix("/")
    segments = path.removesuffix("/").split("/")
    if ".." in segments or "." in segments:
        raise BadInput(f"{uri!r} contains '.' or '..': write the path it means")
    if "" in segments and path:
        raise BadInput(f"{uri!r} has an empty segment: write one slash")
    root = "/" if rest.startswith("/") else ""
    return Location(scheme, "", root + path.removesuffix("/"), not path or path.endswith("/"))
