"""Who may do what: the fold of users and their roles, the same in every service that holds one.

The last admin stays: what would take the role from the only one left changes nothing, in every fold, so that two processes
which each remove one of two admins cannot leave none. What must not enter: credentials, wishes, I/O.
"""

from typing import Final

from msgspec import Struct

from longshore_common.events import Event, UserAdded, UserChanged, UserRevoked
from longshore_common.model import UserRole

#: Each may do all that those before it may.
ROLES: Final[tuple[UserRole, ...]] = ("viewer", "user", "admin")


def covers(role: UserRole, wanted: UserRole) -> bool:
    """Whether `role` may do what `wanted` may."""
    return ROLES.index(role) >= ROLES.index(wanted)


class Authority(Struct):
    """The role of each user there ever was; None: revoked."""

    roles: dict[str, UserRole | None] = {}

    def take(self, event: Event) -> bool:
        """Fold the event in; whether it changed anything. One who is there is not added again."""
        match event:
            case UserAdded() if self.roles.get(event.user) is None:
                self.roles[event.user] = event.role
            case UserChanged() if self._loses(event.user, event.role):
                self.roles[event.user] = event.role
            case UserRevoked() if self._loses(event.user, None):
                self.roles[event.user] = None
            case _:
                return False
        return True

    def role(self, user: str) -> UserRole | None:
        """What this user may; None: nothing, being revoked. While nobody is known everybody may everything."""
        return self.roles.get(user, "user") if self.roles else "admin"

    def is_last_admin(self, user: str) -> bool:
        """Whether there would be no admin without this one."""
        return self.roles.get(user) == "admin" and sum(role == "admin" for role in self.roles.values()) == 1

    def _loses(self, user: str, role: UserRole | None) -> bool:
        """Whether a user that is there can get this role, or lose all."""
        known = self.roles.get(user)
        return known is not None and known != role and not self.is_last_admin(user)
