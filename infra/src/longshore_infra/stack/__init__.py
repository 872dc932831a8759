"""The embedded stack: NATS, PostgreSQL, our services and local workers as processes of one supervisor, in one directory.

`up`, `down` and `status` are all that others call. What must not enter: container engines, other hosts.
"""

from longshore_infra.stack.health import Process, Status, status
from longshore_infra.stack.lifecycle import down, up

__all__ = ["Process", "Status", "down", "status", "up"]
