"""A box is opened by the worker it was sealed for, and by nobody else."""

import base64

import pytest

from longshore_common.adapters import nats_keys
from longshore_common.errors import BadInput
from longshore_data.sealing import open_box, seal, seed_of

TEXT = "[far]\ntype = sftp\npass = geheim ünï\n"


def test_the_holder_of_the_key_opens_the_box_and_each_box_is_another():
    seed = nats_keys.make_seed("user")
    public = nats_keys.public_key(seed)
    one, two = seal(TEXT, public), seal(TEXT, public)
    assert one != two
    assert open_box(one, seed) == open_box(two, seed + "\n") == TEXT
    assert b"geheim" not in base64.b64decode(one)


def test_another_worker_does_not_and_a_damaged_box_is_told():
    seed = nats_keys.make_seed("user")
    box = seal(TEXT, nats_keys.public_key(seed))
    for wrong, key in (
        (box, nats_keys.make_seed("user")),
        (box[:-8] + "AAAAAAA=", seed),
        ("no box!", seed),
        ("", seed),
    ):
        with pytest.raises(BadInput, match="remote share"):
            open_box(wrong, key)


def test_what_is_no_key_of_a_worker_is_refused():
    account = nats_keys.make_seed("account")
    good = nats_keys.public_key(nats_keys.make_seed("user"))
    flipped = good[:20] + ("B" if good[20] == "A" else "A") + good[21:]
    for key in ("", "U", nats_keys.public_key(account), flipped, good.lower()):
        with pytest.raises(BadInput, match="public key"):
            seal(TEXT, key)
    with pytest.raises(BadInput, match="seed") as caught:
        open_box(seal(TEXT, good), account)
    assert account not in str(caught.value)


def test_a_seed_is_found_in_its_own_file_and_in_a_credentials_file():
    seed = nats_keys.make_seed("user")
    assert seed_of(seed + "\n") == seed_of(nats_keys.creds_text("jwt", seed)) == seed
    with pytest.raises(BadInput):
        seed_of("nothing")
