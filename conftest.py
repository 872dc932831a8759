"""What holds for every test of the tree: generated examples are judged by what they show, not by how fast a busy machine is."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "longshore",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    # mutants are tested side by side: what one of them fails of is none of another's
    database=None if "LONGSHORE_MUTANT" in os.environ else settings.default.database,  # type: ignore[union-attr]
)
settings.load_profile("longshore")
