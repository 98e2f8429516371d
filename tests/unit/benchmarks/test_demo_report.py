from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.demo.report import BAR_CHARACTERS, DemoCall, bar, calls_table, waterfall


def text(table: Table) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_rate_is_of_the_tokens_after_the_first_chunk() -> None:
    call = DemoCall("cold", [(0.5, 1), (1.0, 2), (1.5, 2)])
    assert call.first_token_seconds == 0.5
    assert call.tokens_per_second == 4.0


def test_a_single_chunk_has_no_rate() -> None:
    assert DemoCall("cold", [(0.5, 8)]).tokens_per_second is None


def test_the_longest_gap_is_between_two_chunks() -> None:
    assert DemoCall("cut", [(0.5, 1), (0.75, 2), (3.0, 2), (3.1, 1)]).longest_gap_seconds == 2.25
    assert DemoCall("cut", [(0.5, 8)]).longest_gap_seconds == 0


def test_the_table_has_a_row_for_each_call() -> None:
    shown = text(
        calls_table([DemoCall("cold", [(0.5, 1), (1.0, 2)], {"fork": 0.25}, "disk"), DemoCall("warm", [(0.1, 1)])])
    )
    assert [line.split() for line in shown.splitlines()[3:5]] == [
        ["cold", "0.500", "4.0", "0.250", "disk"],
        ["warm", "0.100", "-", "-", "-"],
    ]


def test_the_waterfall_is_in_the_order_of_the_start_and_keeps_stages_it_does_not_know() -> None:
    shown = text(waterfall(DemoCall("cold", [(1.0, 1)], {"prefill": 0.5, "novel": 0.1, "queue": 0.2, "fork": 0.2})))
    names = [line.split()[0] for line in shown.splitlines()[1:]]
    assert names == ["queue", "fork", "prefill", "novel"]


@pytest.mark.parametrize(
    ("begin", "seconds", "drawn"),
    [
        (0.0, 1.0, "█" * BAR_CHARACTERS),
        (0.5, 0.5, " " * (BAR_CHARACTERS // 2) + "█" * (BAR_CHARACTERS // 2)),
        (0.0, 0.0, "█"),  # too short to see, and still shown
        (1.0, 0.0, " " * (BAR_CHARACTERS - 1) + "█"),
    ],
)
def test_a_bar_begins_where_the_one_before_ended(begin: float, seconds: float, drawn: str) -> None:
    assert bar(begin, seconds, 1.0) == drawn
