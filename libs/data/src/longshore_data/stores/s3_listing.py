"""What is below a prefix of a bucket, page by page: a page of a thousand is read in five milliseconds.

What must not enter: objects, other requests.
"""

from datetime import datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from longshore_data.store import Found, StoreError
from longshore_data.stores.s3_client import translated
from longshore_data.stores.s3_tries import again
from longshore_data.stores.s3_wire import Wire
from longshore_data.uri import Location


async def below(wire: Wire, folder: Location) -> list[Found]:
    """Every object below `folder`, each page asked for as often as is worth it; empty if there is none."""
    doing = f"listing {folder}"
    prefix = f"{folder.key}/" if folder.key else ""
    query = {"list-type": "2", "prefix": prefix, "encoding-type": "url", "max-keys": "1000"}
    found: list[Found] = []
    while True:

        async def page() -> tuple[list[Found], str]:
            try:
                return _read(await wire.page(folder.bucket, query), prefix)
            except Exception as err:
                raise translated(err, doing) from err

        some, more = await again(page)
        found += some
        if not more:
            return found
        query["continuation-token"] = more


def _read(xml: bytes, prefix: str) -> tuple[list[Found], str]:
    """The objects on one page, and the token of the next if there is one."""
    try:
        root = ElementTree.fromstring(xml)
        space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
        coded = root.findtext(f"{space}EncodingType") == "url"
        found = []
        for entry in root.iterfind(f"{space}Contents"):
            said = {child.tag[len(space) :]: child.text or "" for child in entry}
            key = unquote_plus(said["Key"]) if coded else said["Key"]
            if (path := key[len(prefix) :]) and not path.endswith("/"):
                at = datetime.fromisoformat(said["LastModified"]).timestamp()
                found.append(Found(path, int(said["Size"]), said.get("ETag", "").strip('"'), at))
    except (ElementTree.ParseError, KeyError, ValueError) as err:
        raise StoreError(f"the server's list cannot be read: {type(err).__name__}: {err}", retriable=True) from err
    if root.findtext(f"{space}IsTruncated") != "true":
        return found, ""
    return found, root.findtext(f"{space}NextContinuationToken") or ""
