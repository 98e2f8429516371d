"""The verifier refuses what is wrong, whatever made it."""

from __future__ import annotations

import pytest

from quickthaw.compression import Reason
from quickthaw.compression.segments import segments
from quickthaw.compression.spans import protected
from quickthaw.compression.verifier import fault


@pytest.mark.parametrize(
    ("original", "text", "reason"),
    [
        ("a very good day", "a good day", None),
        ("a good day", " ", Reason.EMPTY),
        ("a good day", "a bad day", Reason.NOT_A_SUBSEQUENCE),
        ("a good day", "day good", Reason.NOT_A_SUBSEQUENCE),
        ("it has 12 of them", "it has of them", Reason.LOST_SPAN),
        ("it has 12 of them", "it has 1 of them", Reason.LOST_SPAN),
        ("it is a float and so on", "it is and so on", Reason.LOST_SPAN),
        ("it is not so good", "it is so good", Reason.LOST_SPAN),
        ("it is not so good", "it is not", Reason.LOST_SPAN),  # what is denied
        ("from 3 red km", "from 3 km", Reason.LOST_SPAN),  # a number that becomes another
        ("it was [ quite ] so", "it was [ ] so", Reason.INVALID_JSON),  # JSON where there was none
        ("it (as we saw) was so", "it as we saw) was so", Reason.UNBALANCED),
    ],
)
def test_it_tells_what_is_wrong(original: str, text: str, reason: Reason | None) -> None:
    assert fault(original, text, protected(original, segments(original))) is reason


PROSE = "a text that has many more words than any other so that it may well be made shorter"


@pytest.mark.parametrize(
    "other",
    [
        '{"a": "a text that may well be made shorter", "b": "1e-7"}',  # a number that became a string
        '{"b": 1e-7}',  # without its key
        '{"a": "a text shorter", "b": 1e-7',  # no JSON
    ],
)
def test_json_keeps_its_keys_and_types(other: str) -> None:
    original = f'{{"a": "{PROSE}", "b": 1e-7}}'
    assert fault(original, '{"a": "a text shorter", "b": 1e-7}', protected(original, segments(original))) is None
    assert fault(original, other, protected(original, segments(original))) is not None
