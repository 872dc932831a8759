"""How a bare command that asks for something is held to it: by a control group of its own, or by limits per process.

What asks for nothing costs nothing here. What must not enter: starting processes, which attempts there are.
"""

import os
import resource
from collections.abc import Collection
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from longshore_agent.adapters import cgroups
from longshore_agent.adapters.cgroups import Ground, Limits
from longshore_agent.core import contract
from longshore_agent.core.attempts import Attempt
from longshore_agent.core.verdict import stop_signal
from longshore_common import logs
from longshore_common.ids import AttemptId

#: Processes and threads of one confined task: a runaway fork ends in its own errors, not in the host's.
PIDS: Final = 32768
#: What a spawner of version 1 does by itself.
_USUAL_GRACE: Final = 10
_NEEDS: Final = 2  # the version of spawners that understand us
log = logs.get_logger()


class Held(NamedTuple):
    """What a group says of its attempt: the memory it had at its highest, bytes, CPU seconds, and kills for want of memory."""

    peak_memory: int = 0
    cpu_seconds: float = 0.0
    oom: bool = False


def confined(attempt: Attempt) -> bool:
    """Whether this attempt is to get a control group where there can be one."""
    spec = attempt.order.spec
    return bool(spec.memory or spec.cpus or attempt.start.memory or attempt.devices.cpus)


def problem() -> str:
    """What is not enforced on this host, with the fix; empty if all is, as far as can be seen without trying."""
    if cgroups.may_be_had(os.getpid()):
        return ""
    return (
        "limits of plain commands hold per process only (memory) or not at all (CPU time): run the agent and its "
        "spawner as root, or as a unit with Delegate=yes"
    )


class Confinement:
    """The groups of one worker's bare attempts. `scope` tells them from those of other agents on this host."""

    def __init__(self, scope: str) -> None:
        self._prefix = f"bare-{blake2b(scope.encode(), digest_size=5).hexdigest()}-"
        self._ground: Ground | None = None
        self._able = False  # the spawner understands us
        self._peaks: dict[AttemptId, int] = {}
        self._left: set[str] = set()

    @property
    def watched(self) -> bool:
        """Whether there are groups to look at now and then."""
        return bool(self._peaks or self._left)

    def attach(self, spawner: int, version: int, held: Collection[AttemptId]) -> None:
        """A spawner of this pid and version starts what follows; groups of attempts that are not held are removed."""
        self._able = version >= _NEEDS
        self._ground = cgroups.ground(spawner) if self._able else None
        if self._ground is None:
            return
        for name in self._ground.names():
            attempt = AttemptId(name.removeprefix(self._prefix))
            if not name.startswith(self._prefix):
                continue
            if attempt in held:
                self._peaks.setdefault(attempt, 0)
            else:
                self.forget(attempt)

    def demand(self, attempt: Attempt) -> dict[str, Any]:
        """The last field of its start request; empty for most tasks. Its group is made if it is to have one. `OSError`."""
        more: dict[str, Any] = {}
        spec = attempt.order.spec
        if not self._able:
            return more
        if spec.stop_signal or spec.grace != _USUAL_GRACE:
            more |= {"stop": stop_signal(spec.stop_signal), "grace": spec.grace}
        if attempt.devices.cpus:
            more["cpus"] = list(attempt.devices.cpus)
        if not confined(attempt):
            return more
        memory = contract.memory(spec, attempt.start)
        if self._ground is not None:
            more["groups"] = list(self._ground.make(self.group(attempt.id), Limits(memory, spec.cpus, PIDS)))
            self._peaks[attempt.id] = 0
        elif memory:
            # not RLIMIT_AS: runtimes with a heap of their own reserve addresses that they never use
            more["limits"] = [(resource.RLIMIT_DATA, memory)]
        return more

    def sample(self) -> None:
        """Look at what the groups hold now; remove what could not be removed earlier."""
        if self._ground is None:
            return
        for attempt, peak in self._peaks.items():
            now = cgroups.resident(self._ground.directories(self.group(attempt)))
            self._peaks[attempt] = max(peak, now)
        self._left = {name for name in self._left if not cgroups.remove(self._ground.directories(name))}

    def told(self, attempt: Attempt, peak: int, cpu: float) -> Held:
        """What is known of an attempt that ended, given what the kernel said of its first process.

        Memory is what it had of its own at its highest as far as it was seen: the greater of its largest process and what
        its group held at any look. Only after a kill for want of memory it is the group's own mark, file cache included.
        """
        directories = self._directories(attempt)
        if not directories:
            return Held(peak, cpu)
        used, oom = cgroups.used(directories), cgroups.oom_kills(directories) > 0
        seen = max(peak, self._peaks.get(attempt.id, 0))
        most = used.peak_memory
        return Held(most if oom and most else seen, max(cpu, used.cpu_seconds), oom)

    def forget(self, attempt: AttemptId) -> None:
        """Kill what is left of it and remove its group, now or at a later look; nothing happens if it has none."""
        self._peaks.pop(attempt, None)
        if self._ground is not None:
            directories = self._ground.directories(self.group(attempt))
            cgroups.empty(directories)
            if not cgroups.remove(directories):
                self._left.add(self.group(attempt))

    def group(self, attempt: AttemptId) -> str:
        """The name of its group, whether there is one or not."""
        return f"{self._prefix}{attempt}"

    def _directories(self, attempt: Attempt) -> tuple[str, ...]:
        if self._ground is None or not confined(attempt):
            return ()
        directories = self._ground.directories(self.group(attempt.id))
        return directories if os.path.isdir(directories[0]) else ()
