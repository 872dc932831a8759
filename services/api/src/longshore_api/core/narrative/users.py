"""What is said of users, their credentials, secrets and notifications. What must not enter: what they are."""

from collections.abc import Callable
from typing import Any, Final

from longshore_api.core.narrative.words import because, count, when
from longshore_common import events as e


def _by(event: Any) -> str:
    return f" by {event.by}" if event.by else ""


_TEXTS: Final[dict[type[e.Event], Callable[[Any], str]]] = {
    e.UserAdded: lambda event: f"{event.role} {event.user} added{_by(event)}",
    e.UserChanged: lambda event: f"{event.user} is {event.role} from here on{_by(event)}",
    e.UserRevoked: lambda event: f"user {event.user} revoked{_by(event)}" + because(None, event.reason),
    e.CredentialIssued: lambda event: f"{event.kind} {event.id} issued to {event.user or 'the group'}{_by(event)}",
    e.CredentialExpires: lambda event: f"credential {event.id} expires at {when(event.at)}{_by(event)}",
    e.CredentialRevoked: lambda event: f"credential {event.id} revoked{_by(event)}" + because(None, event.reason),
    e.NotificationSet: lambda event: f"{event.user} will be told of {', '.join(event.rule.occasions)} ({event.id})",
    e.NotificationRemoved: lambda event: f"{event.user} is told no more by {event.id}",
    e.SecretShared: lambda event: (
        f"secret {event.name} " + (f"shared with {count(len(event.boxes), 'worker')}" if event.boxes else "withdrawn")
    ),
}


def of_fact(event: object) -> str:
    """The event as one sentence; "" if it is about none of these."""
    return _TEXTS[type(event)](event) if type(event) in _TEXTS else ""  # type: ignore[index]
