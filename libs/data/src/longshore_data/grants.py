"""Credentials that open a part of a storage for a time, made from one's own on one's own computer.

By STS where the server has it: AssumeRole or GetFederationToken, in both a policy leaves nothing but the part; the calls
are those of https://docs.aws.amazon.com/STS/latest/APIReference, which MinIO and Ceph answer too. Else by presigned
addresses of single objects. What must not enter: who gets them, keeping them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from longshore_common.errors import BadInput, Refused, Unreachable
from longshore_data import uri
from longshore_data.storage import ADDRESSES
from longshore_data.stores.s3_client import CONNECT, S3Settings
from longshore_data.uri import Location

#: Seconds that STS gives at least; and presigned addresses hold at most (a limit of the signature, version 4).
SHORTEST: Final = 900
LONGEST_ADDRESS: Final = 7 * 86_400
#: Seconds to wait for the answer of STS.
PATIENCE: Final = 20.0
#: What servers without roles take for one (MinIO's convention).
_ANY_ROLE: Final = "arn:xxx:xxx:xxx:xxxx"
#: What a server says that does not have a call.
_NOT_THERE: Final = frozenset(
    {"NotImplemented", "InvalidAction", "UnsupportedOperation", "404", "405", "MethodNotAllowed"}
)
_READ: Final = ("s3:GetObject",)
_WRITE: Final = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")


class Asked(NamedTuple):
    """What is to be opened, and for how many seconds; `endpoint` and `sts` empty: as the environment says, else AWS."""

    prefixes: tuple[str, ...]
    seconds: float
    endpoint: str = ""
    read_only: bool = False
    role: str = ""
    sts: str = ""


class Granted(NamedTuple):
    """Variables of the environment, and until when (Unix seconds) they open anything."""

    values: dict[str, str]
    expires: float


def policy(prefixes: Sequence[str], *, read_only: bool) -> dict[str, Any]:
    """What may be done below these prefixes, and nothing else; `BadInput` if one is no place in S3."""
    places = [_place(text) for text in prefixes]
    objects = [f"arn:aws:s3:::{place.bucket}/{_below(place)}*" for place in places]
    statements: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": [*_READ, *(() if read_only else _WRITE)], "Resource": objects}
    ]
    for place in places:
        bucket = f"arn:aws:s3:::{place.bucket}"
        listed: dict[str, Any] = {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [bucket]}
        if place.key:
            listed["Condition"] = {"StringLike": {"s3:prefix": [f"{_below(place)}*"]}}
        statements.append(listed)
    return {"Version": "2012-10-17", "Statement": statements}


def temporary(asked: Asked, environ: Mapping[str, str], now: float) -> Granted:
    """Credentials by STS. `Refused` with its words and what to do; `Unreachable` if it does not answer."""
    if asked.seconds < SHORTEST:
        raise BadInput(f"temporary credentials are given for {SHORTEST // 60} minutes at least: give a longer --for")
    settings = _settings(environ, asked.endpoint)
    text = json.dumps(policy(asked.prefixes, read_only=asked.read_only), separators=(",", ":"))
    client = _client("sts", settings, asked.sts or settings.endpoint)
    found = _asked(client, asked, text)["Credentials"]
    values = {
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_SESSION_TOKEN": found["SessionToken"], "AWS_REGION": settings.region,
    }  # fmt: skip
    if settings.endpoint:
        values["AWS_ENDPOINT_URL"] = settings.endpoint
    ends = found["Expiration"].timestamp() if found.get("Expiration") else now + asked.seconds
    return Granted(values, ends)


def presigned(uris: Sequence[str], seconds: float, endpoint: str, environ: Mapping[str, str], now: float) -> Granted:
    """A signed address to read each of these objects; nobody is asked for them."""
    if not 1 <= seconds <= LONGEST_ADDRESS:
        raise BadInput(f"signed addresses hold for {LONGEST_ADDRESS // 86_400} days at most: give a shorter --for")
    client = _client("s3", settings := _settings(environ, endpoint), settings.endpoint)
    found = {}
    for text in uris:
        place = _place(text, folder=False)
        if not place.key or place.folder:
            raise BadInput(f"{text} is a folder: name single objects, or take `longshore secret s3`")
        found[text] = _answer(
            lambda place=place: client.generate_presigned_url(
                "get_object", Params={"Bucket": place.bucket, "Key": place.key}, ExpiresIn=int(seconds)
            )
        )
    return Granted({ADDRESSES: json.dumps(found)}, now + seconds)


def _place(text: str, *, folder: bool = True) -> Location:
    place = uri.parse_output(text) if folder else uri.parse(text)
    if place.scheme != "s3" or not place.bucket:
        raise BadInput(f"{text} is no place in S3: write such as s3://bucket/run7/")
    return place


def _below(place: Location) -> str:
    """What the keys in this folder begin with, and those of no other."""
    return f"{place.key.rstrip('/')}/" if place.key else ""


def _settings(environ: Mapping[str, str], endpoint: str) -> S3Settings:
    from msgspec import structs

    found = S3Settings.from_environ(environ)
    return structs.replace(found, endpoint=endpoint) if endpoint else found


def _client(service: str, settings: S3Settings, endpoint: str) -> Any:
    """Of botocore, which comes with what moves bytes; it finds profiles and instance roles too."""
    from botocore.config import Config
    from botocore.session import get_session

    retries = {"mode": "standard", "total_max_attempts": 3}
    style = {"addressing_style": settings.style()}
    config = Config(
        connect_timeout=CONNECT, read_timeout=PATIENCE, retries=retries, s3=style, signature_version=None if service == "sts"
        else "s3v4",
    )  # fmt: skip
    keys = {}
    if settings.access_key:
        keys = {"aws_access_key_id": settings.access_key, "aws_secret_access_key": settings.secret_key}
        keys |= {"aws_session_token": settings.token} if settings.token else {}
    return get_session().create_client(
        service, region_name=settings.region, endpoint_url=endpoint or None, config=config, **keys
    )


def _asked(client: Any, asked: Asked, text: str) -> Any:
    """With a role by AssumeRole. Without one by GetFederationToken, or where that is not there, by AssumeRole as MinIO has it.

    Not by GetSessionToken, which takes no policy: what it gives opens all that one's own credentials open.
    """
    from botocore.exceptions import ClientError

    seconds, name = int(asked.seconds), "longshore"

    def assume(role: str) -> Any:
        return client.assume_role(RoleArn=role, RoleSessionName=name, Policy=text, DurationSeconds=seconds)

    if asked.role:
        return _answer(lambda: assume(asked.role))
    try:
        return _answer(lambda: client.get_federation_token(Name=name, Policy=text, DurationSeconds=seconds))
    except Refused as err:
        cause = err.__cause__
        if not isinstance(cause, ClientError) or cause.response["Error"]["Code"] not in _NOT_THERE:
            raise
    return _answer(lambda: assume(_ANY_ROLE))


def _answer(call: Any) -> Any:
    """What the server says to `call`; its refusals in our words."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from botocore.parsers import ResponseParserError

    try:
        return call()
    except ClientError as err:
        said = err.response["Error"]
        raise Refused(
            f"no temporary credentials: {said.get('Code', '')} {said.get('Message', '')}; name a role with --role, see "
            "whether these credentials may ask for some, or use `longshore secret presign`"
        ) from err
    except NoCredentialsError as err:
        raise BadInput("there are no credentials to make others from: set AWS_ACCESS_KEY_ID and the like") from err
    except ResponseParserError as err:
        raise Refused(
            "no temporary credentials: what is there does not speak STS; name who does with --sts, or use "
            "`longshore secret presign`"
        ) from err
    except BotoCoreError as err:
        raise Unreachable(f"no temporary credentials: {err}") from err
