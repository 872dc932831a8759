"""Manifests: what goes in comes out, equal outputs give equal bytes, and what is damaged is told as unreadable."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_common.errors import Unreadable
from longshore_common.model import OutputFile
from longshore_data import manifest

_file = st.builds(
    OutputFile, st.text(min_size=1, max_size=20), st.integers(0, 2**62), st.text("0123456789abcdef", max_size=64)
)
_files = st.lists(_file, max_size=5, unique_by=lambda f: f.path).map(tuple)


@given(_files, st.randoms(use_true_random=False))
def test_what_was_published_can_be_read_and_its_order_does_not_matter(files, shuffled):
    body = manifest.encode("5.0.2", "5.0", files)
    known = manifest.decode(body)
    assert (known.task, known.attempt) == ("5.0", "5.0.2")
    assert manifest.holds(known, files)
    mixed = list(files)
    shuffled.shuffle(mixed)
    assert manifest.encode("5.0.2", "5.0", tuple(mixed)) == body
    assert body.endswith(b"}\n")


@given(_files, _file)
def test_a_file_that_was_not_published_is_not_held(files, other):
    known = manifest.decode(manifest.encode("5.0.2", "5.0", files))
    assert manifest.holds(known, (other,)) == (other in files)


@given(
    st.one_of(
        st.binary(max_size=200), st.recursive(st.none() | st.text() | st.integers(), st.lists).map(msgspec.json.encode)
    )
)
def test_bytes_that_are_no_manifest_are_unreadable(body):
    with pytest.raises(Unreadable, match="not a manifest"):
        manifest.decode(body)


@given(_files, st.data())
def test_a_damaged_manifest_is_unreadable_or_names_other_files(files, data):
    body = bytearray(manifest.encode("5.0.2", "5.0", files))
    for _ in range(data.draw(st.integers(1, 5))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = manifest.decode(bytes(body))
    except Unreadable:
        return
    assert isinstance(found, manifest.Manifest)
