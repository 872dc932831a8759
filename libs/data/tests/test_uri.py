"""URIs: what is understood, what is refused with its fix, and names that no care was taken over."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_common.errors import BadInput
from longshore_data import uri
from longshore_data.uri import Location

segment = st.text(st.characters(codec="utf-8", exclude_characters="/\0|"), min_size=1, max_size=12).filter(
    lambda s: s not in (".", "..", uri.RESERVED)
)
paths = st.lists(segment, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("file:///a/b c.txt", Location("file", "", "/a/b c.txt")),
        ("file:///a//b/", Location("file", "", "/a/b", folder=True)),
        ("file://localhost/a", Location("file", "", "/a")),
        ("FILE:///a%20b", Location("file", "", "/a%20b")),
        ("file:///", Location("file", "", "/", folder=True)),
        ("s3://bucket/a/b?c#d", Location("s3", "bucket", "a/b?c#d")),
        ("s3://bucket/a/", Location("s3", "bucket", "a", folder=True)),
        ("s3://bucket", Location("s3", "bucket", "", folder=True)),
        ("s3://bucket/", Location("s3", "bucket", "", folder=True)),
        ("s3://bucket/é \"'", Location("s3", "bucket", "é \"'")),
    ],
)
def test_what_is_understood(text: str, place: Location) -> None:
    assert uri.parse(text) == place


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("/data/x", "write file:///data/x"),
        ("data/x", "file:///absolute/path"),
        ("file://data/x", "three slashes"),
        ("file:///a/../b", "'..'"),
        ("s3:///x", "s3://bucket/key"),
        ("s3://b/a//", "one for a folder"),
        ("ftp://host/x", "supported are file:// and s3://"),
        ("run+fastq://SRR1", "'run+fastq' is not supported"),
        ("run+fastq@filter_r1://SRR1", "'run+fastq' is not supported"),
        ("azure://c/x", "supported are"),
        ("s3://b/x.gz|gunzip", "not supported yet"),
        ("s3://b/x\0", "zero byte"),
        ("", "is not a URI"),
    ],
)
def test_what_is_refused_names_the_fix(text: str, fix: str) -> None:
    with pytest.raises(BadInput) as caught:
        uri.parse(text)
    assert fix in str(caught.value)


@given(paths, st.sampled_from(["", "/"]))
def test_a_place_written_and_read_again_is_the_same(path: str, slash: str) -> None:
    for text in (f"s3://bucket/{path}{slash}", f"file:///{path}{slash}"):
        place = uri.parse(text)
        assert uri.parse(str(place)) == place
        assert place.folder == bool(slash)
        assert place.name == path.rpartition("/")[2]


@given(paths, paths)
def test_below_a_folder_keeps_the_path(folder: str, path: str) -> None:
    for root in (f"s3://bucket/{folder}/", f"file:///{folder}/", "s3://bucket/", "file:///"):
        place = uri.parse(root)
        assert str(place.below(uri.safe_path(path))) == root + path


@given(st.text(max_size=30))
def test_nothing_but_bad_input_ever_comes_of_a_text(text: str) -> None:
    for prefix in ("", "s3://", "file:///"):
        with suppress(BadInput):
            assert uri.parse_output(prefix + text).folder


@given(st.text(max_size=20))
def test_a_safe_path_never_leaves_its_folder(path: str) -> None:
    try:
        uri.safe_path(path)
    except BadInput:
        return
    depth = 0
    for part in path.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        assert depth > 0


def test_fields_are_replaced_once_and_other_braces_stay() -> None:
    entry = "s3://b/in/{index} x.txt"
    assert uri.expand("s3://b/{index}/{name}/{other}", 7, entry) == "s3://b/7/{index} x.txt/{other}"
    assert uri.expand("{entry}", 7, entry) == entry
    assert uri.expand("{name}", 7, "a/b/") == "b"
    assert uri.expand("plain", 7, "") == "plain"
    with pytest.raises(BadInput, match="no entry"):
        uri.expand("s3://b/{name}", 7, "")


def test_private_places_and_manifests_lie_below_the_output() -> None:
    for text in ("s3://b/out", "s3://b/out/", "file:///out"):
        output = uri.parse_output(text)
        base = str(output).rstrip("/")
        assert str(uri.private(output, "12.0.1")) == f"{base}/.longshore/12.0.1/"
        assert str(uri.manifest(output, "12.0")) == f"{base}/.longshore/12.0.json"
    with pytest.raises(BadInput, match="choose another folder"):
        uri.parse_output("s3://b/.longshore/x")


@pytest.mark.parametrize(
    ("names", "clash"),
    [
        (["a", "b"], None),
        (["a", "b", "a"], "a"),
        (["x/a", "x/b"], None),
        (["x", "x/b"], "x"),
        (["x/y/z", "x/y"], "x/y"),
    ],
)
def test_names_that_cannot_live_together_are_found(names: list[str], clash: str | None) -> None:
    assert uri.clashes(names) == clash
    assert uri.clashes(reversed(names)) == clash
