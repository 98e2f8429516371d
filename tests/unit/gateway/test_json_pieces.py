"""What is read and written piece by piece is the same as in one go."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform.gateway import json_pieces
from quickthaw_platform.gateway.json_pieces import read, written

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(VALUES, st.integers(0, 4), st.integers(1, 3))
def test_what_is_written_is_the_json_of_the_whole(value: object, small_parts: int, items: int) -> None:
    encode = json.JSONEncoder(separators=(",", ":")).encode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_pieces, "SMALL_PARTS", small_parts)
        patch.setattr(json_pieces, "ITEMS", items)
        assert written(value, encode) == encode(value)


@given(VALUES, st.sampled_from([0, 1 << 20]))
def test_what_is_read_is_what_was_written(value: object, small_characters: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_pieces, "SMALL_CHARACTERS", small_characters)
        found = read(json.dumps(value))
    assert json.dumps(found) == json.dumps(value)
