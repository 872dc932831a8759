"""Notices that this host will be taken away, from the metadata services of providers.

    Azure      /metadata/scheduledevents (Preempt, Terminate, Redeploy, Reboot; a Freeze harms no task), acknowledged by POST
    OpenStack  /openstack/latest/meta_data.json: `longshore_evict_at`, which operators set as a property of the server
    AWS        /latest/meta-data/spot/instance-action, with a session token

What must not enter: what is done about a notice, when to ask. Calls block for `timeout` seconds at most: use a thread.
"""

import http.client
import json
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, Protocol

from longshore_common.errors import Unreachable

TIMEOUT: Final = 1.0
_AZURE: Final = "/metadata/scheduledevents?api-version=2020-07-01"
_AZURE_NAME: Final = "/metadata/instance/compute/name?api-version=2020-06-01&format=text"
_OPENSTACK: Final = "/openstack/latest/meta_data.json"
_AWS_TOKEN: Final = "/latest/api/token"
_AWS_ACTION: Final = "/latest/meta-data/spot/instance-action"
_NONE: Final[Mapping[str, str]] = {}
_AZURE_HEADERS: Final = {"Metadata": "true"}
_FATAL: Final = ("Preempt", "Terminate", "Redeploy", "Reboot")


class Notice(NamedTuple):
    """The host goes at instant `at` (Unix seconds) because of `reason`; `id` acknowledges it, where a provider wants that."""

    at: float
    reason: str
    id: str = ""


class Answer(NamedTuple):
    """What the metadata service said; status 0: nothing, in time."""

    status: int
    body: bytes = b""


class Provider(Protocol):
    """One kind of metadata service."""

    name: str

    def here(self) -> bool:
        """Whether this host has that service."""
        ...

    def notice(self, now: float) -> Notice | None:
        """The earliest notice for this host, None if there is none. `Unreachable` if the service does not say."""
        ...

    def acknowledge(self, notice: Notice) -> None:
        """Tell that the host may go at once."""
        ...


class Service:
    """Where metadata are served, over plain HTTP and never by a proxy."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname or "169.254.169.254", parts.port or 80

    def ask(self, method: str, path: str, headers: Mapping[str, str] = _NONE, body: bytes | None = None) -> Answer:
        """One request; silence is an answer with status 0."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.read(1 << 20))
        except (OSError, http.client.HTTPException):
            return Answer(0)
        finally:
            connection.close()


class Azure:
    """Scheduled events. Their list may name other machines of the same set: only ours count."""

    name = "azure"

    def __init__(self, service: Service) -> None:
        self._service, self._machine = service, ""

    def here(self) -> bool:
        """See the port."""
        answer = self._service.ask("GET", _AZURE_NAME, _AZURE_HEADERS)
        self._machine = answer.body.decode(errors="replace").strip() if answer.status == 200 else ""
        return bool(self._machine)

    def notice(self, now: float) -> Notice | None:
        """See the port. An event that has started has no instant any more: it is now."""
        if not (self._machine or self.here()):
            raise Unreachable("the metadata service does not tell the name of this machine")
        document = _json(self._service.ask("GET", _AZURE, _AZURE_HEADERS))
        ours = [x for x in document.get("Events") or () if self._machine in (x.get("Resources") or ())]
        found = []
        for event in ours:
            if event.get("EventType") in _FATAL:
                at = _instant(event.get("NotBefore"), parsedate_to_datetime) or now
                found.append(Notice(at, f"Azure: {event['EventType']}", str(event.get("EventId", ""))))
        return min(found, default=None)

    def acknowledge(self, notice: Notice) -> None:
        """See the port."""
        body = json.dumps({"StartRequests": [{"EventId": notice.id}]}).encode()
        self._service.ask("POST", _AZURE, {**_AZURE_HEADERS, "Content-Type": "application/json"}, body)


class OpenStack:
    """A property of the server, by hand or by whoever empties its host: OpenStack itself gives no notice."""

    name = "openstack"

    def __init__(self, service: Service) -> None:
        self._service = service

    def here(self) -> bool:
        """See the port."""
        answer = self._service.ask("GET", _OPENSTACK)
        return answer.status == 200 and "uuid" in _json(answer)

    def notice(self, now: float) -> Notice | None:
        """See the port."""
        meta = _json(self._service.ask("GET", _OPENSTACK)).get("meta") or {}
        at = _instant(meta.get("longshore_evict_at"), datetime.fromisoformat)
        return Notice(at, meta.get("longshore_evict_reason") or "OpenStack: longshore_evict_at") if at else None

    def acknowledge(self, notice: Notice) -> None:
        """Nobody waits for it."""


class Aws:
    """Spot interruptions, by version 2 of the instance metadata service."""

    name = "aws"

    def __init__(self, service: Service) -> None:
        self._service, self._token = service, ""

    def here(self) -> bool:
        """See the port."""
        answer = self._service.ask("PUT", _AWS_TOKEN, {"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
        self._token = answer.body.decode(errors="replace") if answer.status == 200 else ""
        return bool(self._token)

    def notice(self, now: float) -> Notice | None:
        """See the port. A token that has expired is replaced for the next question."""
        if not (self._token or self.here()):
            raise Unreachable("the metadata service gives no token")
        answer = self._service.ask("GET", _AWS_ACTION, {"X-aws-ec2-metadata-token": self._token})
        if answer.status == 401:
            self._token = ""
            raise Unreachable("the metadata service wants a new token")
        event = _json(answer)
        at = _instant(event.get("time"), datetime.fromisoformat)
        return Notice(at, f"AWS: spot {event.get('action')}") if at else None

    def acknowledge(self, notice: Notice) -> None:
        """Nobody waits for it."""


def find(provider: str, url: str) -> Provider | None:
    """The service of this name, or with `auto` the first that answers; None if there is none. Takes seconds at most."""
    service = Service(url)
    kinds: tuple[Provider, ...] = (Azure(service), OpenStack(service), Aws(service))
    if provider != "auto":
        return next((kind for kind in kinds if kind.name == provider), None)
    return next((kind for kind in kinds if kind.here()), None)


def _json(answer: Answer) -> dict[str, Any]:
    """The document; empty if there is none of that name. `Unreachable` for silence and for trouble of the service."""
    if answer.status == 0 or answer.status == 429 or answer.status >= 500:
        raise Unreachable(f"the metadata service answered {answer.status or 'nothing'}")
    if answer.status != 200:
        return {}
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _instant(text: object, read: Callable[[str], datetime]) -> float:
    """Unix seconds; 0 for what is no instant. UTC where no zone is given."""
    try:
        at = read(str(text or ""))
    except (ValueError, TypeError):
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
