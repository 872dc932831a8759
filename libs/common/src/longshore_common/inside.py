"""Paths in the containers of a task: which may be named, what its steps share for them, and what is wrong with a task of
several steps.

Pure text; the client, the dispatcher and the agents judge by it alike. What must not enter: paths of a host.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from longshore_common.model import Step, TaskSpec

#: The folders that every container has from its attempt.
INPUT: Final = "/input"
OUTPUT: Final = "/output"
TEMP: Final = "/tmp"
RESOURCE: Final = "/resource"
#: Folders that hold an image's own programs and settings: nothing is laid over them whole, single files are laid into them.
SYSTEM: Final = frozenset(
    {
        "/", "/bin", "/boot", "/etc", "/home", "/lib", "/lib32", "/lib64", "/opt", "/root", "/run", "/sbin", "/srv", "/usr",
        "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/sbin", "/usr/share",
        "/var", "/var/lib",
    }
)  # fmt: skip
#: Nothing of a task's can be there.
CLOSED: Final = ("/proc", "/sys", "/dev", RESOURCE)
#: Steps, and mounts, collects and volumes together, of one task at most.
MOST_STEPS: Final = 1000
MOST_PATHS: Final = 10_000
#: Bytes of one word, and characters of all that is said of steps and paths.
MOST_WORD: Final = 131_071
MOST_TEXT: Final = 1_000_000
_WILD: Final = frozenset("*?[")
_OWN: Final = frozenset({INPUT, OUTPUT, TEMP})


class Shared(NamedTuple):
    """What the containers of a task share besides /input, /output and /resource, as absolute paths in them.

    `folders`: laid over the image, none below another. `files`: laid alone into folders of the image. `made`: all folders
    that are there when the first step begins. `temp`: /tmp is shared as well; else each step has an empty one of its own.
    """

    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    temp: bool = False


#: Of a task that names no path.
NOTHING: Final = Shared()


def steps_of(spec: TaskSpec) -> tuple[Step, ...]:
    """Its steps; a task without any is one step if it runs in a container, none otherwise."""
    if spec.steps or spec.container is None:
        return spec.steps
    return (Step(command=spec.command, container=spec.container),)


def images(spec: TaskSpec) -> tuple[str, ...]:
    """The images of its steps, each once, in order."""
    return tuple(dict.fromkeys(step.container for step in steps_of(spec) if step.container))


def several(spec: TaskSpec) -> bool:
    """Whether it has steps, or paths of its own in its containers."""
    return bool(spec.steps or spec.mounts or spec.collects or spec.volumes)


def clean(path: str) -> str:
    """`path` without doubled slashes, single dots and a slash at its end."""
    return "/" + "/".join(s for s in path.split("/") if s not in ("", "."))


def parent(path: str) -> str:
    """The folder of a clean path."""
    return path.rpartition("/")[0] or "/"


def below(path: str, folder: str) -> bool:
    """Whether a clean path is this folder or below it."""
    return path == folder or folder == "/" or path.startswith(folder + "/")


def is_wild(path: str) -> bool:
    """Whether it is a pattern."""
    return not _WILD.isdisjoint(path)


def still(path: str) -> str:
    """The folder above the first segment of a pattern that holds a wildcard."""
    segments = clean(path).split("/")
    first = next(k for k, segment in enumerate(segments) if is_wild(segment))
    return "/".join(segments[:first]) or "/"


def shared(spec: TaskSpec) -> Shared:
    """What its containers share."""
    if not several(spec):
        return NOTHING
    folders, files = set(_folders(spec)), set()
    for path in _files(spec):
        folder = parent(path)
        if folder in SYSTEM:
            files.add(path)
        else:
            folders.add(folder)
    temp = any(below(path, TEMP) for path in folders)
    own = [p for p in folders if not any(below(p, f) for f in (INPUT, OUTPUT, TEMP))]
    tops: list[str] = []
    for path in sorted(own, key=lambda p: p.split("/")):  # so that what is below a folder follows it
        if not tops or not below(path, tops[-1]):
            tops.append(path)
    made = {*folders, *_workdirs(spec, tops, temp=temp), *_OWN}
    alone = [f for f in files if not any(below(f, top) for top in tops) and not any(below(path, f) for path in made)]
    return Shared(tuple(tops), tuple(sorted(alone)), tuple(sorted(made.difference(_OWN))), temp)


def _workdirs(spec: TaskSpec, tops: list[str], *, temp: bool) -> Iterator[str]:
    """Where steps work, if that is in a folder that they share."""
    there = (*tops, INPUT, OUTPUT, *([TEMP] if temp else []))
    for path in dict.fromkeys(clean(step.workdir) for step in spec.steps if step.workdir):
        if any(below(path, folder) for folder in there):
            yield path


def _folders(spec: TaskSpec) -> Iterator[str]:
    yield from map(clean, spec.volumes)
    yield from (clean(m.path) for m in spec.mounts if m.directory)
    yield from (
        still(c.path) if is_wild(c.path) else clean(c.path) for c in spec.collects if _whole(c.path, c.directory)
    )


def _whole(path: str, directory: bool) -> bool:  # noqa: FBT001 - it is a field
    return directory or is_wild(path)


def _files(spec: TaskSpec) -> Iterator[str]:
    yield from (clean(m.path) for m in spec.mounts if not m.directory)
    yield from (clean(c.path) for c in spec.collects if not _whole(c.path, c.directory))
    for step in spec.steps:
        yield from (clean(path) for path in (step.stdin, step.stdout, step.stderr) if path)


# --- what is wrong ---


def fault(spec: TaskSpec) -> str:
    """What is wrong with its steps, mounts, collects and volumes, and the fix; empty if nothing is."""
    if len(spec.steps) > MOST_STEPS:
        return f"it has {len(spec.steps)} steps, at most {MOST_STEPS} make a task: submit several with --requires"
    if len(spec.mounts) + len(spec.collects) + len(spec.volumes) > MOST_PATHS:
        return f"it has more than {MOST_PATHS} mounts, collects and volumes: name folders instead of their files"
    if _length(spec) > MOST_TEXT:
        return f"its steps and paths have more than {MOST_TEXT} characters in all: put some of that into files"
    tests = (_of_steps, _of_paths, _of_places, _of_others)
    return next((found for test in tests if (found := test(spec))), "")


def _length(spec: TaskSpec) -> int:
    words = [word for s in spec.steps for word in (*s.command, *s.env, *s.env.values())]
    words += [word for s in spec.steps for word in (s.container, s.workdir, s.stdin, s.stdout, s.stderr)]
    words += [word for m in spec.mounts for word in (m.uri, m.path)]
    words += [word for c in spec.collects for word in (c.uri, c.path, c.prefix)]
    return sum(map(len, (*words, *spec.volumes)))


def _of_steps(spec: TaskSpec) -> str:
    if not spec.steps:
        return ""
    if spec.shell:
        return "a step's command is its words: for a shell write sh, -c and the text as three words"
    first = spec.steps[0]
    if spec.command != first.command or (spec.container or "") != first.container:
        return "a task of steps has the command and the container of its first step as its own: give it these"
    if any(bool(step.container) != bool(first.container) for step in spec.steps):
        return "some of its steps name a container and some none: give every step one, or none"
    for number, step in enumerate(spec.steps, 1):
        if found := _of_step(step) or ("" if first.container else _of_bare(step)):
            return f"step {number}: {found}"
    return ""


def _of_bare(step: Step) -> str:
    """Without a container there is nothing but the attempt's own directory, of which four folders have names."""
    for what in ("workdir", "stdin", "stdout", "stderr"):
        path = clean(getattr(step, what))
        if path != "/" and not any(below(path, folder) for folder in (INPUT, OUTPUT, TEMP)):
            return f"{what} {path}: without a container only {INPUT}, {OUTPUT} and {TEMP} are there: choose one below these"
    return ""


def _of_step(step: Step) -> str:
    if not step.command or not step.command[0]:
        return "its command is empty: give at least a program"
    words = (*step.command, step.container, *step.env, *step.env.values())
    if any("\0" in word for word in words):
        return "a word holds a NUL byte, which no program can be given: remove it"
    if any(len(word) > MOST_WORD // 4 and len(word.encode(errors="replace")) > MOST_WORD for word in words):
        return f"a word has more than {MOST_WORD} bytes, which Linux passes at most: put it into a file and mount that"
    for name in step.env:
        if not name or "=" in name:
            return f"{name!r} cannot name a variable of the environment: it must not be empty nor hold '='"
    for what in ("workdir", "stdin", "stdout", "stderr"):
        path = getattr(step, what)
        if path and (found := _of_path(path)) and not (what == "workdir" and clean(path) in SYSTEM):
            return f"{what} {found}"
    return ""


def _of_path(path: str, *, wild: bool = False) -> str:
    """What is wrong with a path in a container."""
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        return f"{path!r} is no absolute path in a container: begin with a slash, and write the path that '..' means"
    plain = still(path) if wild and is_wild(path) else clean(path)
    if plain == "/" and not (wild and is_wild(path)):
        return f"{path!r} is the whole container: name what is in it"
    if closed := [c for c in CLOSED if below(plain, c)]:
        return f"{path!r}: {closed[0]} is not a task's to fill: choose another folder"
    if any(s.startswith(".longshore") for s in path.split("/")):
        return f"{path!r}: names with .longshore in front are ours: choose another"
    return ""


def _of_paths(spec: TaskSpec) -> str:
    named = [("mount", m.path, False) for m in spec.mounts]
    named += [("collect", c.path, True) for c in spec.collects]
    named += [("volume", v, False) for v in spec.volumes]
    for what, path, wild in named:
        if found := _of_path(path, wild=wild):
            return f"a {what}'s path {found}"
    uris = [*(m.uri for m in spec.mounts), *(c.uri for c in spec.collects)]
    if not all(uris) or any("\0" in uri for uri in uris):
        return "the URI of a mount or collect is empty or holds a NUL byte: correct it, or leave it out"
    if any("\0" in c.prefix for c in spec.collects):
        return "the prefix of a collect holds a NUL byte: remove it"
    return ""


def _of_places(spec: TaskSpec) -> str:
    if hidden := sorted(SYSTEM.intersection(_folders(spec))):
        return (
            f"{hidden[0]} holds programs and settings of the image, which a folder there would hide: name one below it"
        )
    mounted = [clean(m.path) for m in spec.mounts]
    if twice := _twice(mounted):
        return f"two mounts are both {twice}: leave one of them out"
    files = {clean(m.path) for m in spec.mounts if not m.directory}
    files.update(clean(path) for s in spec.steps for path in (s.stdin, s.stdout, s.stderr) if path)
    if known := sorted(files.intersection(SYSTEM | _OWN) or SYSTEM.intersection(_files(spec))):
        return f"{known[0]} is a folder, and is named as a file: name one in it, or say that it is a directory"
    folders = {*_folders(spec), *(clean(step.workdir) for step in spec.steps if step.workdir)}
    for path in (*folders, *_files(spec)):
        above = path
        while above != "/":
            if above in files and (above != path or path in folders):
                return f"{above} is named as a file, and {path} needs it to be a folder: choose another path"
            above = parent(above)
    return ""


def _twice(paths: Iterable[str]) -> str:
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            return path
        seen.add(path)
    return ""


def _of_others(spec: TaskSpec) -> str:
    """What does not go together."""
    if (spec.mounts or spec.collects or spec.volumes) and spec.container is None:
        return "mounts, collects and volumes are paths in containers: name a container, or use inputs and output"
    if spec.collects and spec.use_cache:
        return "what collects upload is not used again: leave out use_cache, or let an output folder take it"
    if spec.checkpoint and len(spec.steps) > 1:
        return "a checkpoint is of one command, and this task has several steps: leave it out"
    return ""
