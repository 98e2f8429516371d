"""Lists in settings: a text with commas, a JSON list, or a sequence."""

from __future__ import annotations

import pytest

from quickthaw_platform.setting_values.lists import read_list


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("a, b", ("a", "b")),
        ('["a", " b"]', ("a", "b")),
        (["a", "b"], ("a", "b")),
        (("a", " "), ("a",)),
        (",a,", ("a",)),
        ("", ()),
        ("[]", ()),
    ],
    ids=["commas", "JSON", "list", "tuple-with-a-blank", "commas-around", "empty", "empty-JSON"],
)
def test_items_are_read_without_blanks(value: object, items: tuple[str, ...]) -> None:
    assert read_list(value, "names") == items


@pytest.mark.parametrize("value", [7, None, {"a": 1}, True], ids=["number", "nothing", "table", "truth"])
def test_what_is_no_list_is_refused_by_what_is_wanted(value: object) -> None:
    with pytest.raises(ValueError, match=r"^must be names, for example a,b$"):
        read_list(value, "names, for example a,b")


def test_a_list_in_json_that_is_not_closed_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1 column"):
        read_list('["a"', "names")
