"""What users cost an api process: reading them, recognising one, counting what is void; and its memory.

python -m bench.users [USERS]
"""

import asyncio
import sys
import time
import tracemalloc

import msgspec

from longshore_api.adapters.keyring import Keyring, make
from longshore_api.core.users import ACCOUNT, CREDENTIAL, Register
from longshore_common import events as e
from longshore_common.clock import SystemClock


def facts(users: int, digest: str) -> list[e.Event]:
    """Each user with a secret and ten keys of NATS, a tenth of them revoked."""
    made: list[e.Event] = []
    for k in range(users):
        name = f"user-{k}"
        made.append(e.UserAdded(user=name, role="user"))
        made.append(e.CredentialIssued(id=f"{k:012x}", kind="secret", user=name, digest=digest))
        made += [
            e.CredentialIssued(
                id=f"U{k}-{n}", kind="nats", user=name, public_key=f"U{k}-{n}", parent=f"{k:012x}", expires=4e9
            )
            for n in range(10)
        ]
    return made


def folded(events: list[e.Event]) -> Register:
    """All of them, one after the other."""
    register = Register()
    for seq, event in enumerate(events, 1):
        register.take(event, seq, float(seq))
    return register


async def recognised(secret: str, digest: str, times: int) -> tuple[float, float]:
    """Seconds of CPU of the first look at a secret, and of each later one."""
    ring = Keyring("t0ken", "root", SystemClock())
    ident = secret.split("_")[1]
    ring.register.take(e.UserAdded(user="ann", role="user"), 1, 1.0)
    ring.register.take(e.CredentialIssued(id=ident, kind="secret", user="ann", digest=digest), 2, 2.0)
    ring.reached(2)
    began = time.process_time()
    await ring.visitor(secret, "here")
    first = time.process_time() - began
    began = time.process_time()
    for _ in range(times):
        await ring.visitor(secret, "here")
    return first, (time.process_time() - began) / times


def main(users: int) -> None:
    """Print one line per number."""
    made = make()
    events = facts(users, made.digest)
    began = time.process_time()
    register = folded(events)
    print(f"fold of {len(events)} facts about {users} users: {time.process_time() - began:.2f} s")
    rows = [(ACCOUNT, msgspec.json.encode(a), a.seq) for a in register.accounts.values()]
    rows += [(CREDENTIAL, msgspec.json.encode(c), c.seq) for c in register.credentials.values()]
    began = time.process_time()
    tracemalloc.start()
    again = Register()
    for kind, value, seq in rows:
        again.put(kind, value, seq)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(f"from {len(rows)} rows: {time.process_time() - began:.2f} s (traced), {held / len(rows):.0f} bytes each")
    began = time.process_time()
    for k in range(0, users, 10):
        register.take(e.UserRevoked(user=f"user-{k}"), len(events) + 1 + k, 1e6)
    print(f"a revocation: {(time.process_time() - began) / max(users // 10, 1) * 1e3:.2f} ms")
    began = time.process_time()
    void = register.void_keys(5e5, 7 * 86_400)
    print(f"counting what is void, {len(void)} keys: {(time.process_time() - began) * 1e3:.1f} ms")
    first, later = asyncio.run(recognised(made.shown, made.digest, 100_000))
    print(f"a secret: {first * 1e3:.1f} ms when it is first shown, {later * 1e6:.2f} us after that")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
