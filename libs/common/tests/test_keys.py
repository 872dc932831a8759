"""Keys and claims of NATS' operator mode."""

import base64
import json

import nkeys
import pytest

from longshore_common import subjects
from longshore_common.adapters import nats_keys
from longshore_common.errors import BadInput


def claim(jwt):
    body = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@pytest.mark.parametrize(("kind", "letter"), [("operator", "O"), ("account", "A"), ("user", "U")])
def test_a_seed_says_what_it_is_for_and_so_does_its_public_key(kind, letter):
    seed = nats_keys.make_seed(kind)
    assert seed.startswith("S" + letter)
    assert nats_keys.public_key(seed).startswith(letter)
    assert nats_keys.make_seed(kind) != seed


PUBLIC = nats_keys.public_key(nats_keys.make_seed("user"))


@pytest.mark.parametrize("bad", ["", "SUABC", "hello", pytest.param(PUBLIC, id="a public key")])
def test_what_is_no_seed_is_bad_input(bad):
    with pytest.raises(BadInput):
        nats_keys.public_key(bad)


def test_a_user_claim_holds_the_permissions_of_its_role_and_nothing_more():
    account, signing, user = (nats_keys.make_seed(k) for k in ("account", "account", "user"))
    holder = nats_keys.Holder("w1", nats_keys.public_key(user))
    wanted = subjects.permissions("worker", "w1")
    jwt = nats_keys.user_jwt(signing, nats_keys.public_key(account), holder, wanted, expires=2_000_000_000)
    told = claim(jwt)
    assert told["sub"] == holder.public_key
    assert told["iss"] == nats_keys.public_key(signing)
    assert told["exp"] == 2_000_000_000
    assert told["nats"]["issuer_account"] == nats_keys.public_key(account)
    assert told["nats"]["pub"]["allow"] == list(wanted.publish)
    assert told["nats"]["sub"]["allow"] == list(wanted.subscribe)
    assert told["nats"]["resp"]["max"] == 1


def test_a_claim_is_signed_by_its_issuer():
    account = nats_keys.make_seed("account")
    holder = nats_keys.Holder("ann", nats_keys.public_key(nats_keys.make_seed("user")))
    jwt = nats_keys.user_jwt(account, nats_keys.public_key(account), holder, subjects.permissions("user", "ann"))
    signed, _, signature = jwt.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    assert nkeys.from_seed(account.encode()).verify(signed.encode(), raw)
