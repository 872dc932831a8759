"""What an attempt computes, in one word: equal words mean that it was computed before.

What must not enter: asking for it, storage.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from longshore_agent.core.attempt import Attempt
from longshore_common.events import Ended, Start
from longshore_common.model import TaskSpec

#: Part of every digest: raised when tasks of the same words get another result from the agent itself.
VERSION = 1


def digest(spec: TaskSpec, start: Start, image: str, contents: Sequence[str]) -> str:
    """The digest of everything an attempt can see that its user chose; empty if something of it cannot be named.

    `image`: digest of its container image, or of those of its steps. `contents`: of its inputs, then its resources and
    mounts, in their order. Left out is what should not change a result: limits, time-outs, where outputs go, the names of
    task, batch and user.
    """
    if not all(contents) or len(contents) != len(spec.inputs) + len(spec.resources) + len(spec.mounts):
        return ""
    if spec.container is not None and not image:
        return ""
    made_by = (
        VERSION, spec.command, spec.shell, image, spec.container_options, sorted(spec.env.items()), spec.secrets,
        spec.uid, spec.gid, start.label, start.entry, len(spec.inputs), tuple(contents),
    )  # fmt: skip
    paths = (spec.steps, tuple((m.path, m.directory) for m in spec.mounts), spec.volumes)
    words = msgspec.json.encode((made_by, paths) if any(paths) else made_by)
    return hashlib.blake2b(words, digest_size=20).hexdigest()


def skipped(attempt: Attempt, result: Ended) -> bool:
    """It need not run: what it would have made is delivered next. False if it is wanted no more."""
    if attempt.phase != "staging" or attempt.unwanted() or attempt.recalled:
        return False
    attempt.phase, attempt.result = "delivering", result
    return True
