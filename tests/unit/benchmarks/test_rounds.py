"""Interleaving."""

import io

from rich.console import Console

from benchmarks.rounds import interleave, order


def test_each_round_begins_with_another_case() -> None:
    assert [order(["a", "b", "c"], number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert order([], 5) == []


def test_every_case_runs_once_a_round_and_keeps_its_results_apart() -> None:
    calls: list[str] = []

    def case(name: str) -> int:
        calls.append(name)
        return len(calls)

    cases = {name: (lambda name=name: case(name)) for name in ("a", "b")}
    results = interleave(cases, 3, Console(file=io.StringIO()), settle_seconds=0)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert results == {"a": [1, 4, 5], "b": [2, 3, 6]}
