"""Notices by mail: one SMTP server, named by the operator. What must not enter: what is told, and when."""

import asyncio
import re
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from longshore_common.errors import BadInput, Refused, Unreachable

#: Seconds for each step of the conversation.
DEADLINE: Final = 15.0
#: Enough of an address to be one, and no line break, space or list.
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")


class Server(NamedTuple):
    """Where mail goes out. `secure`: "starttls" (`smtp://`), "tls" from the start (`smtps://`), or "" (`smtp+plain://`)."""

    host: str
    port: int
    secure: str
    user: str = ""
    password: str = ""

    @classmethod
    def of(cls, url: str, password: str) -> "Server":
        """From `smtp://user@host:587`. `BadInput` names what is wrong with it."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as err:
            raise BadInput(f"LONGSHORE_SMTP_URL: {err}") from err
        kinds = {"smtp": ("starttls", 587), "smtps": ("tls", 465), "smtp+plain": ("", 25)}
        if parts.scheme not in kinds or not parts.hostname:
            raise BadInput(
                "LONGSHORE_SMTP_URL: write smtp://user@host:587 (STARTTLS), smtps://… (TLS) or smtp+plain://… (neither)"
            )
        if parts.password:
            raise BadInput("LONGSHORE_SMTP_URL holds a password: put that into the file LONGSHORE_SMTP_PASSWORD_FILE")
        secure, usual = kinds[parts.scheme]
        return cls(parts.hostname, port or usual, secure, unquote(parts.username or ""), password)


class Mails:
    """Sends them. Without a `server` none can be sent; `trust`: a file of authorities besides the system's; `domains`: those
    that mail may go to, with commas, empty = any.
    """

    def __init__(self, server: Server | None, sender: str, trust: str = "", domains: str = "") -> None:
        self._server, self._sender, self._trust = server, sender, trust
        self._domains = frozenset(word.strip().lower() for word in domains.split(",") if word.strip())
        if server is not None and not _ADDRESS.fullmatch(sender):
            raise BadInput(f"LONGSHORE_MAIL_FROM: {sender!r} is no address: write such as longshore@example.org")

    def check(self, address: str) -> None:
        """`BadInput` if it is no address, `Refused` if this stack sends no mail."""
        if not _ADDRESS.fullmatch(address):
            raise BadInput(f"mail: {address!r} is no address of one person: write such as ada@example.org")
        if self._domains and address.rpartition("@")[2].lower() not in self._domains:
            raise Refused(f"mail: this stack writes to addresses in {', '.join(sorted(self._domains))} only")
        if self._server is None:
            raise Refused("mail: this stack sends none: an operator sets LONGSHORE_SMTP_URL and LONGSHORE_MAIL_FROM")

    async def send(self, address: str, ident: str, subject: str, text: str, now: float) -> None:
        """Hand one to the server; `Unreachable` with its words if it did not take it."""
        self.check(address)
        assert self._server is not None  # checked
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, address, subject
        message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
        message["Message-ID"] = f"<{ident}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text + "\n")
        try:
            await asyncio.to_thread(self._hand_over, self._server, message)
        except (smtplib.SMTPException, OSError) as err:
            raise Unreachable(f"the mail server {self._server.host} did not take it: {err}") from err

    def _hand_over(self, server: Server, message: EmailMessage) -> None:
        context = ssl.create_default_context(cafile=self._trust or None)
        if server.secure == "tls":
            talk: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=DEADLINE, context=context)
        else:
            talk = smtplib.SMTP(server.host, server.port, timeout=DEADLINE)
        with talk:
            if server.secure == "starttls":
                talk.starttls(context=context)
            if server.user:
                talk.login(server.user, server.password)
            talk.send_message(message)
