"""Profiles: which one is in force, what a login writes, when it is renewed, what is left after a logout."""

import json
import stat
import time

import pytest

from longshore import logins
from longshore_common.adapters import nats_keys
from longshore_common.clock import SystemClock
from longshore_common.errors import BadInput, Refused, Unreachable
from longshore_common.profile import load, profile_dir, stack_dir, state_dir

ME = {"user": "ann", "role": "user", "credential": "c1", "expires_at": None}
SECRET = "ls_0123456789ab_" + "x" * 43


def jwt() -> dict:
    seed = nats_keys.make_seed("account")
    key = nats_keys.public_key(nats_keys.make_seed("user"))
    text = nats_keys.user_jwt(seed, nats_keys.public_key(seed), nats_keys.Holder("ann", key), None)
    week = SystemClock().now() + 7 * 86_400
    return {
        "user": "ann",
        "role": "user",
        "jwt": text,
        "nats_url": "nats://here:1",
        "expires": week,
        "expires_at": None,
    }


@pytest.fixture
def home(tmp_path, api):
    api.routes |= {"/whoami": lambda _: ME, "/login": lambda _: jwt(), "/logout": lambda _: {"seq": 3}}
    return tmp_path / "profiles" / "lab"


def test_a_named_profile_goes_before_a_stack_and_a_stack_before_the_default(tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    assert state_dir(environ) == stack_dir(environ)
    default = profile_dir("default", environ)
    default.mkdir(parents=True)
    (default / "client.json").write_text("{}")
    assert state_dir(environ) == default
    assert state_dir(environ | {"LONGSHORE_STATE_DIR": "/s"}) == stack_dir({"LONGSHORE_STATE_DIR": "/s"})
    named = environ | {"LONGSHORE_STATE_DIR": "/s", "LONGSHORE_PROFILE": "lab"}
    assert state_dir(named) == profile_dir("lab", environ)
    with pytest.raises(BadInput, match="no name for a profile"):
        state_dir(environ | {"LONGSHORE_PROFILE": "../x"})
    with pytest.raises(Unreachable, match="longshore login"):
        load(profile_dir("lab", environ))


def test_a_login_keeps_the_secret_and_a_key_made_here_private(home, api):
    assert logins.login(home, api.url + "/", SECRET).user == "ann"
    made = load(home)
    assert (made.user, made.api_url, made.nats_url) == ("ann", api.url, "nats://here:1")
    assert (home / "api-token").read_text() == SECRET
    assert {stat.S_IMODE(f.stat().st_mode) for f in home.iterdir()} == {0o600}
    assert "USER NKEY SEED" in (home / "user.creds").read_text()
    assert {f.name for f in home.iterdir()} == {"api-token", "user.creds", "client.json"}


def test_who_is_not_let_in_leaves_what_was_there(home, api, reply):
    logins.login(home, api.url, SECRET)
    api.routes["/whoami"] = lambda _: reply(401, {"title": "Not authorized", "detail": "revoked", "status": 401})
    with pytest.raises(Refused, match="revoked"):
        logins.login(home, api.url, SECRET + "y")
    assert (home / "api-token").read_text() == SECRET
    assert not list(home.glob(".login*"))


def test_over_http_alone_no_key_is_made(home, api):
    logins.login(home, api.url, SECRET, nats=False)
    assert load(home).nats_url == ""
    assert not (home / "user.creds").exists()
    assert [path for path, _ in api.asked] == ["/whoami"]


def test_a_group_gets_no_key(home, api):
    api.routes |= {
        "/whoami": lambda _: ME | {"user": "", "role": "viewer"},
        "/login": lambda _: {"user": "", "role": "viewer"},
    }
    logins.login(home, api.url, SECRET)
    assert (load(home).nats_url, load(home).user) == ("", "nobody")


def test_a_login_is_renewed_once_a_day_while_it_is_used(home, api):
    logins.login(home, api.url, SECRET)
    made = load(home)
    assert logins.renewed(home, made) == made
    old = json.loads((home / "client.json").read_text()) | {"expires": time.time() + 86_400}
    (home / "client.json").write_text(json.dumps(old))
    before = (home / "user.creds").read_text()
    again = logins.renewed(home, load(home))
    assert again.expires > time.time() + 6.9 * 86_400
    assert load(home) == again
    assert (home / "user.creds").read_text() != before


def test_an_api_that_is_away_matters_once_the_login_has_ended(home, api):
    logins.login(home, api.url, SECRET)
    kept = load(home)
    api.close()
    for left, refused in ((3600, False), (-1, True)):
        file = json.loads((home / "client.json").read_text()) | {"expires": time.time() + left}
        (home / "client.json").write_text(json.dumps(file))
        if refused:
            with pytest.raises(Unreachable):
                logins.renewed(home, load(home))
        else:
            assert logins.renewed(home, load(home)).nats_creds == kept.nats_creds
    api.server.server_close()


def test_a_logout_voids_the_key_and_removes_the_profile_but_never_a_stack(home, api, tmp_path):
    logins.login(home, api.url, SECRET)
    assert logins.logout(home)
    assert not home.exists()
    assert api.asked[-1][0] == "/logout"
    token = tmp_path / "token"
    token.write_text("t")
    profile = {"user": "root", "nats_url": "", "nats_creds": "", "api_url": api.url, "api_token_file": str(token)}
    (tmp_path / "client.json").write_text(json.dumps(profile))
    with pytest.raises(Refused, match="directory of a stack"):
        logins.logout(tmp_path)
    assert token.exists()


@pytest.mark.parametrize(
    ("url", "secret"), [("here", SECRET), ("ftp://x", SECRET), ("http://x", ""), ("http://x", "a b")]
)
def test_what_is_no_address_or_secret_is_said_before_anything_is_sent(home, api, url, secret):
    with pytest.raises(BadInput):
        logins.login(home, url, secret)
    assert not api.asked
