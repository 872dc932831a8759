"""By which way a user writes: into the log itself, or by the api where only that can be reached."""

import os
from collections.abc import Mapping

import msgspec

from longshore_common.profile import Profile


def by_http(profile: Profile, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this user goes by HTTP alone: the profile has no NATS, or LONGSHORE_HTTP=1."""
    return not profile.nats_url or environ.get("LONGSHORE_HTTP", "").lower() in ("1", "true", "yes")


def settled(profile: Profile, environ: Mapping[str, str]) -> Profile:
    """The profile for whom this environment is all that counts: without NATS if it says so."""
    return msgspec.structs.replace(profile, nats_url="") if by_http(profile, environ) else profile
