"""Temporary credentials and signed addresses, from a real server that speaks STS and S3."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from longshore_common.errors import BadInput, Refused, Unreachable
from longshore_data import grants
from longshore_data.grants import Asked

pytestmark = pytest.mark.slow

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAOWN", "AWS_SECRET_ACCESS_KEY": "own-secret", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def server():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None
        assert time.monotonic() < deadline, "moto does not answer"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait(10)


def test_a_policy_opens_the_prefix_and_nothing_beside_it():
    found = grants.policy(("s3://lab/run7", "s3://other/"), read_only=False)
    first, *listed = found["Statement"]
    assert first["Resource"] == ["arn:aws:s3:::lab/run7/*", "arn:aws:s3:::other/*"]
    assert {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"} <= set(first["Action"])
    assert listed[0]["Condition"] == {"StringLike": {"s3:prefix": ["run7/*"]}}
    assert "Condition" not in listed[1]
    assert grants.policy(("s3://lab/run7",), read_only=True)["Statement"][0]["Action"] == ["s3:GetObject"]


@pytest.mark.parametrize("role", ["", "arn:aws:iam::123456789012:role/tasks"])
def test_temporary_credentials_are_other_ones_and_end(server, role):
    asked = Asked(("s3://lab/run7/",), 3600, endpoint=server, role=role)
    granted = grants.temporary(asked, KEYS, time.time())
    assert granted.values["AWS_ACCESS_KEY_ID"] != KEYS["AWS_ACCESS_KEY_ID"]
    assert granted.values["AWS_SECRET_ACCESS_KEY"] != KEYS["AWS_SECRET_ACCESS_KEY"]
    assert granted.values["AWS_SESSION_TOKEN"]
    assert granted.values["AWS_ENDPOINT_URL"] == server
    assert 3000 < granted.expires - time.time() < 4000


def test_a_signed_address_opens_its_object_to_whoever_has_it(server):
    from botocore.session import get_session

    own = {"aws_access_key_id": "AKIAOWN", "aws_secret_access_key": "own-secret", "region_name": "us-east-1"}
    s3 = get_session().create_client("s3", endpoint_url=server, **own)
    s3.create_bucket(Bucket="lab")
    s3.put_object(Bucket="lab", Key="in put.txt", Body=b"hallo")
    granted = grants.presigned(("s3://lab/in put.txt",), 600, server, KEYS, time.time())
    (address,) = json.loads(granted.values[grants.ADDRESSES]).values()
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.read() == b"hallo"
    assert "own-secret" not in address


def test_what_cannot_be_is_told_before_anybody_is_asked():
    with pytest.raises(BadInput, match="15 minutes"):
        grants.temporary(Asked(("s3://lab/",), 60), KEYS, 0)
    with pytest.raises(BadInput, match="no place in S3"):
        grants.temporary(Asked(("file:///tmp/",), 3600), KEYS, 0)
    with pytest.raises(BadInput, match="folder"):
        grants.presigned(("s3://lab/run/",), 600, "", KEYS, 0)
    with pytest.raises(BadInput, match="7 days"):
        grants.presigned(("s3://lab/x",), 1e6, "", KEYS, 0)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(Unreachable):
        grants.temporary(Asked(("s3://lab/",), 3600, endpoint="http://127.0.0.1:9"), KEYS, 0)


def test_a_server_without_sts_says_what_to_do_instead(server):
    with pytest.raises((Refused, Unreachable)):
        grants.temporary(Asked(("s3://lab/",), 3600, endpoint=server, sts=f"{server}/nowhere-at-all"), KEYS, 0)
