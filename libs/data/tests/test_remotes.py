"""What an rclone configuration says, and what of it is shown."""

import pytest

from longshore_common.errors import BadInput
from longshore_data.remotes import read
from longshore_data.stores.s3_remote import ours

TEXT = """
[base]
type = webdav
url = https://dav.example
pass = Obscured-1

[vault]
type = crypt
remote = base:dir
password = Obscured-2

[pool]
type = union
upstreams = vault: other:x:ro

[other]
type = memory
"""


def test_a_configuration_comes_back_as_it_was_and_shows_names_only():
    found = read(TEXT)
    assert found.names == ("base", "other", "pool", "vault")
    assert read(found.text()).text() == found.text()
    assert repr(found) == "Remotes(base, other, pool, vault)"


def test_remotes_that_others_stand_upon_come_along():
    found = read(TEXT)
    assert found.only(["vault"]).names == ("base", "vault")
    assert found.only(["pool"]).names == ("base", "other", "pool", "vault")
    assert found.only(["base"]).names == ("base",)
    with pytest.raises(BadInput, match="nothing"):
        found.only(["nothing"])


def test_values_that_may_be_secret_are_taken_out_of_words():
    hidden = read(TEXT).hidden("Obscured-2 failed at https://u:pw@dav.example/x?a=1&sig=aa%2B&b=2 with Obscured-1")
    assert hidden == "… failed at https://u:…@dav.example/x?a=1&sig=…&b=2 with …"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[a]\nx",
        "[a]\nx = 1",
        "[a]\ntype = b\n[a]\ntype = b",
        "# Encrypted rclone configuration",
    ],
)
def test_what_is_no_configuration_is_refused_without_showing_it(text):
    with pytest.raises(BadInput):
        read(text)


def test_s3_remotes_are_ours_unless_they_ask_for_more():
    plain = {"type": "s3", "provider": "Minio", "endpoint": "http://h", "access_key_id": "a", "secret_access_key": "b"}
    assert ours(plain)
    assert ours({"type": "s3", "provider": "AWS", "env_auth": "true", "acl": "private", "storage_class": ""})
    assert not ours({**plain, "endpoint": ""})
    assert not ours({**plain, "provider": "Alibaba"})
    assert not ours({**plain, "sse_customer_key": "x"})
    assert not ours({**plain, "type": "azureblob"})


def test_names_that_cannot_be_schemes_still_carry_others():
    found = read(
        "[My Drive]\ntype = drive\n[v]\ntype = crypt\nremote = My Drive:x\n[FTP]\ntype = ftp\n[s3]\ntype = s3\n"
    )
    assert found.names == ("s3", "v")
    assert found.nameless == ("FTP", "My Drive")
    assert found.only(["v"]).text() == "[My Drive]\ntype = drive\n\n[v]\ntype = crypt\nremote = My Drive:x\n"
    with pytest.raises(BadInput, match="neither built in"):
        found.section("My Drive")
