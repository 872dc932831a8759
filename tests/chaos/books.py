"""Asking all witnesses: the log's recount, the read model and the files must tell the same story."""

import asyncio
import json

from .ledger import Ledger, differences, recount
from .outputs import Evidence
from .stack import Stack


def ledger_of(stack: Stack) -> Ledger:
    """The recount of a stack's log up to now."""
    profile = json.loads((stack.state / "client.json").read_text())
    return asyncio.run(recount(profile["nats_url"], str(stack.creds("api"))))


def check_books(stack: Stack, evidence: Evidence) -> Ledger:
    """Outputs exactly once, nothing in the log that must never happen, and the read model equals the recount."""
    ledger = ledger_of(stack)
    assert ledger.broken == []
    assert ledger.counts(evidence.submission) == {"succeeded": evidence.size}
    assert stack.states(evidence.submission) == {"succeeded": evidence.size}
    assert stack.get("/batches/evidence")["states"] == {"succeeded": evidence.size}
    assert differences(ledger, evidence.submission, stack.tasks(evidence.submission)) == []
    assert list(evidence.faults()) == []
    return ledger
