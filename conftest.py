"""What holds for every test of the tree: generated examples are judged by what they show, not by how fast a busy machine is,
and whatever credentials their host has are not theirs: a test that forgets its server must not ask Amazon.
"""

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

for variable in [name for name in os.environ if name.startswith("AWS_") and name != "AWS_CA_BUNDLE"]:
    del os.environ[variable]
os.environ |= {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
