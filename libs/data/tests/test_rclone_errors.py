"""What rclone says, and whether a retry can help."""

import pytest

from longshore_data.stores.rclone import translated
from longshore_data.stores.rclone_daemon import RcloneError

PASSING = [
    "dial tcp 10.0.0.1:22: connect: connection refused",
    "read tcp 10.0.0.1:5->10.0.0.2:22: read: connection reset by peer",
    "Put \"https://h/x\": net/http: TLS handshake timeout",
    "failed to copy: i/o timeout",
    "couldn't connect SSH: ssh: handshake failed: EOF",
    "unexpected EOF",
    "lookup far.example: no such host",
    "HTTP error 503 (503 Service Unavailable) returned body",
    "googleapi: Error 429: Too Many Requests",
    "421 Too many connections (8) from this IP",
    "can't copy - source file is being updated (size changed from 1 to 2)",
]  # fmt: skip
DEFINITE = [
    "couldn't connect SSH: ssh: handshake failed: ssh: unable to authenticate, attempted methods [none password]",
    "ftp: 530 Login incorrect",
    "permission denied",
    "403 Forbidden: 403 Forbidden",
    "AuthenticationFailed: Server failed to authenticate the request",
    "didn't find backend called \"nosuch\"",
    "didn't find section in config file (\"x\")",
    "NewFS decrypt password: input too short when revealing password - is it obscured?",
    "x509: certificate signed by unknown authority",
    "something that nobody has heard of",
]  # fmt: skip


@pytest.mark.parametrize("words", PASSING)
def test_what_may_pass_is_tried_again(words):
    found = translated(RcloneError(words, 500), "fetching far://a")
    assert (found.retriable, found.missing) == (True, False)
    assert words in str(found)
    assert str(found).startswith("fetching far://a: ")


@pytest.mark.parametrize("words", DEFINITE)
def test_what_cannot_get_better_is_not(words):
    found = translated(RcloneError(words, 500), "fetching far://a")
    assert (found.retriable, found.missing) == (False, False)


def test_what_is_not_there_is_missing_and_a_full_disk_is_this_hosts():
    assert translated(RcloneError("object not found", 404), "x").missing
    full = translated(RcloneError("write /w/x: no space left on device", 500), "x", here=True)
    assert (full.disk_full, full.retriable) == (True, True)
    assert not translated(RcloneError("sftp: no space left on device", 500), "x").disk_full
