"""URIs: what is understood, what is refused with its fix, and names that no care was taken over."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_common.errors import BadInput
from longshore_data import actions, uri
from longshore_data.actions import Action
from longshore_data.store import StoreError
from longshore_data.uri import Location, Source

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
        ("s3://bucket//a", Location("s3", "bucket", "/a")),
        ("s3://bucket/a|b.txt", Location("s3", "bucket", "a|b.txt")),
        ("s3://bucket/x|y/z", Location("s3", "bucket", "x|y/z")),
        ("https://host:8080/a%20b?x=1&y=a/", Location("https", "host:8080", "a%20b?x=1&y=a/")),
        ("HTTP://[::1]:80/a", Location("http", "[::1]:80", "a")),
        ("ftp://host/pub/", Location("ftp", "host", "pub", folder=True)),
        ("ftp://host//etc/x", Location("ftp", "host", "/etc/x")),
        ("ftp://host//", Location("ftp", "host", "/", folder=True)),
        ("ftp://host", Location("ftp", "host", "", folder=True)),
        ("run+fastq://srr0000001", Location("run+fastq", "", "SRR0000001", folder=True)),
        ("azure://container/x y", Location("azure", "", "container/x y")),
        ("my-sftp:///absolute/", Location("my-sftp", "", "/absolute", folder=True)),
        ("my-sftp:///", Location("my-sftp", "", "/", folder=True)),
        ("Drive://", Location("Drive", "", "", folder=True)),
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
        ("run+fastq://SRR1", "run+fastq://SRR000001"),
        ("run+fastq://SRR000001/x.gz", "|glob:"),
        ("run+fastq@filter_r1://SRR000001", "only inputs and resources take any"),
        ("s3://b/x.gz|gunzip", "only inputs and resources take any"),
        ("s3@aria2://b/x", "it has none"),
        ("https@sra://h/x", "it has @aria2"),
        ("s3://b/x\0", "zero byte"),
        ("s3:/b/x", "write s3://b/x"),
        ("drive:b/x", "write drive://b/x"),
        ("https://h/a/", "name one file"),
        ("https://h?x", "not a host's name"),
        ("https://h/?x=a", "name one file"),
        ("https://h/..%2fx", "cannot be a file's name"),
        ("https://h/%2e%2e", "cannot be a file's name"),
        ("https://h/a/../b", "'..'"),
        ("ftp://h/a/../b", "'..'"),
        ("drive://a/../b", "'..'"),
        ("drive://a//b", "write one slash"),
        ("s3://b/x.gz|gunzpi", "|gunzpi is no action"),
        ("s3://b/x.gz|gunzpi|mv:a", "|gunzpi is no action"),
        ("s3://b/x.gz|mv:a|gunzpi", "|gunzpi is no action"),
        ("s3://b/x.gz|glob:a|GUNZIP", "|GUNZIP is no action"),
        ("s3://b/x.gz|", "| is no action"),
        ("s3://b/x.gz||gunzip", "| is no action"),
        ("s3://b/x.gz|gunzip:9", "takes no value"),
        ("s3://b/x.gz|mv", "|mv needs a value"),
        ("s3://b/x.gz|mv:", "needs a value"),
        ("s3://b/x.gz|mv:../a", "no path below the directory"),
        ("s3://b/x.gz|mv:/a", "no path below the directory"),
        ("s3://b/x.gz|mv:.longshore", "choose another"),
        ("s3://b/x.gz|rename:a/b", "|mv:"),
        ("s3://b/x.gz|rename:s/(/x/", "not a regular expression"),
        ("s3://b/x.gz|rename:s/a/\\2/", "not a regular expression"),
        ("s3://b/x.gz|rename:s/a/\\g<z>/", "not a regular expression"),
        ("s3://b/x.gz|rename:s/" + "a" * 501 + "/x/", "more than 500 characters"),
        ("s3://b/x/|glob:!", "needs a value"),
        ("s3://b/x/|glob:" + "{a,b}" * 9, "more than 256"),
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "https@aria2://host/db.tgz|untar|mv:db",
            Source(Location("https", "host", "db.tgz"), ("aria2",), (Action("untar"), Action("mv", "db"))),
        ),
        (
            "run+fastq@ftp@filter_r1://SRR000001|glob:*_1*|rename:s/a|b/x/g",
            Source(
                Location("run+fastq", "", "SRR000001", folder=True), ("ftp", "filter_r1"),
                (Action("glob", "*_1*"), Action("rename", "s/a|b/x/g")),
            ),
        ),
        ("s3://b/x|mv:d e/|unzip", Source(Location("s3", "b", "x"), (), (Action("mv", "d e"), Action("unzip")))),
        ("s3://b/|glob:[|]", Source(Location("s3", "b", "", folder=True), (), (Action("glob", "[|]"),))),
    ],
)  # fmt: skip
def test_options_and_actions_are_read_in_the_order_written(text: str, expected: Source) -> None:
    assert uri.source(text) == expected
    assert uri.source(str(expected)) == expected


words = st.text(st.characters(codec="utf-8", exclude_characters="/\0|{}"), min_size=1, max_size=8).filter(
    lambda s: s not in (".", "..") and not s.startswith(uri.RESERVED)
)
steps = st.one_of(
    st.sampled_from(["gunzip", "untar", "unzip"]).map(Action),
    st.lists(words, min_size=1, max_size=3).map(lambda s: Action("mv", "/".join(s))),
    words.map(lambda s: Action("rename", s)),
    st.tuples(st.sampled_from("/:,#"), words, words, st.sampled_from(["", "g"])).map(
        lambda t: Action("rename", f"s{t[0]}{''.join(c for c in t[1] if c.isalnum()) or 'a|b'}{t[0]}x{t[0]}{t[3]}")
    ),
    st.tuples(st.sampled_from(["", "!"]), words.filter(lambda s: s != "!")).map(lambda t: Action("glob", "".join(t))),
)
places = st.one_of(
    st.tuples(
        st.sampled_from(["s3://bucket/", "file:///", "ftp://h:21/", "drive://", "Az-1://", "sftp:///"]), paths
    ).map("".join),
    st.just("run+fastq://SRR000001"),
    paths.map(lambda p: "https://h/" + "".join(c for c in p if c not in "%?#/\\") + "x?q=/#"),
)


@given(places, st.sampled_from(["", "/"]), st.lists(steps, max_size=4))
def test_a_source_written_and_read_again_is_the_same(place: str, slash: str, chain: list[Action]) -> None:
    if place.startswith(("http", "run")):
        slash = ""
    text = "|".join([place + slash, *map(str, chain)])
    found = uri.source(text)
    assert found.actions == tuple(chain)
    assert found.place.folder == (bool(slash) or place.startswith("run"))
    assert uri.source(str(found)) == found
    assert str(found) == text


pieces = st.sampled_from(
    ["s3", "file", "https", "ftp", "run+fastq", "drive", "://", ":", "/", "//", "|", "@", "aria2", "h", "a b", "é", "..", ".",
     "gunzip", "untar", "mv:", "rename:", "s/", "s,(", "glob:", "!", "{a,", "}", "[", "]", "*", "**", "\\", "\\1", "%2f", "?",
     "#", "{index}", "(a*)*", "\0", "SRR000001", ".longshore"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=30), st.lists(pieces, max_size=12).map("".join)))
def test_nothing_but_bad_input_ever_comes_of_a_text(text: str) -> None:
    for prefix in ("", "s3://", "file:///", "s3://b/a|", "https://h/"):
        with suppress(BadInput):
            found = uri.source(prefix + text)
            assert uri.source(str(found)) == found
            assert found.place.folder or found.place.name not in ("", ".", "..")
            assert "/" not in found.place.name
        with suppress(BadInput):
            assert uri.parse_output(prefix + text).folder


def test_a_password_in_a_uri_is_refused_without_being_shown() -> None:
    for text in ("ftp://me:hunter2@host/x", "https://me:hunter2@host/x?y", "ftp://hunter2@h"):
        with pytest.raises(BadInput, match="make a remote") as caught:
            uri.source(text)
        assert "hunter2" not in str(caught.value)


def test_names_that_web_servers_encode_are_decoded() -> None:
    assert uri.source("https://h/d/a%20b%C3%A9+c.gz?x=/y#z").place.name == "a bé+c.gz"


def test_outputs_cannot_be_sources_that_can_only_be_read() -> None:
    for text in ("https://h/x", "https://h/x/", "https@aria2://h", "http://me:hunter2@h/x", "run+fastq://SRR000001"):
        with pytest.raises(BadInput, match="can only be read") as caught:
            uri.parse_output(text)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(BadInput):
        uri.parse_output("s3://b/out|mv:x")
    assert uri.parse_output("ftp://h/out").folder
    assert uri.parse_output("drive://out").folder
    assert actions.OURS == uri.RESERVED


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


def test_errors_of_storage_do_not_repeat_what_signs_a_url() -> None:
    place = uri.parse("https://host/a/b.gz?X-Amz-Signature=beef&part=7")
    said = str(StoreError(f"fetching {place}: the server answered 403"))
    assert "beef" not in said
    assert "part=7" in said
