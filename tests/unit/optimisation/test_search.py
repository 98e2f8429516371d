"""Searches of a planted task: what is found, what it costs, and what a stop leaves."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from statistics import mean

import pytest

from quickthaw_platform.errors import Conflict, FunctionFailed, InvalidRequest
from quickthaw_platform.optimisation.contract import Optimiser, Rewriting
from quickthaw_platform.optimisation.evolution import Evolution
from quickthaw_platform.optimisation.gepa_optimiser import GepaOptimiser
from quickthaw_platform.optimisation.random_search import RandomSearch
from quickthaw_platform.optimisation.split import split
from tests.unit.optimisation.planted import HARM, HELP, TOKENS, Planted, quality, search, task

SEEDS = range(6)


def best_quality(folder: Path) -> float:
    return quality((folder / "prompt.txt").read_text())


def test_evolution_finds_the_planted_optimum(tmp_path: Path) -> None:
    caller = Planted()
    result = search(tmp_path, caller, calls=2000)
    assert all(sentence in result.best.instruction for sentence in HELP)
    assert not any(sentence in result.best.instruction for sentence in (*HARM, "Noise harms."))
    assert best_quality(tmp_path) >= 0.999
    assert len(caller.keys) == result.calls <= 2000
    assert result.best.test.mean == result.best.dev == result.gain.mean == 1


def test_evolution_beats_random_search_with_the_same_budget(tmp_path: Path) -> None:
    def found(optimiser: type[Optimiser], seed: int) -> float:
        folder = tmp_path / f"{optimiser.name}-{seed}"
        search(folder, Planted(), optimiser=optimiser, calls=800, seed=seed)
        return best_quality(folder)

    pairs = [(found(Evolution, seed), found(RandomSearch, seed)) for seed in SEEDS]
    assert all(ours >= random for ours, random in pairs)
    assert mean(ours for ours, _ in pairs) > mean(random for _, random in pairs) + 0.1


@pytest.mark.parametrize("optimiser", [Evolution, GepaOptimiser], ids=lambda optimiser: optimiser.name)
def test_a_model_that_writes_well_raises_the_score(tmp_path: Path, optimiser: type[Optimiser]) -> None:
    def written(rewriting: Rewriting) -> str:
        missing = [sentence for sentence in HELP if sentence not in rewriting.instructions[0]]
        return " ".join([rewriting.instructions[0], *missing[:1]])

    one = task(sentences=[], instruction="Answer.", shots=0)
    result = search(tmp_path, Planted(written), one=one, optimiser=optimiser, calls=500, rewriter="optimise")
    assert all(sentence in result.best.instruction for sentence in HELP)
    assert result.best.test.mean > result.start.test.mean


def test_gepa_without_a_rewriter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="--rewriter"):
        search(tmp_path, Planted(), optimiser=GepaOptimiser)


@pytest.mark.parametrize("calls", [63, 64, 200, 333])
def test_the_budget_of_calls_is_never_exceeded(tmp_path: Path, calls: int) -> None:
    caller = Planted()
    result = search(tmp_path, caller, calls=calls)
    assert len(caller.keys) == result.calls <= calls
    assert len(set(caller.keys)) == len(caller.keys)


def test_the_budget_of_tokens_is_never_exceeded(tmp_path: Path) -> None:
    caller = Planted()
    result = search(tmp_path, caller, calls=10_000, tokens=40_000)
    assert result.ended == "budget"
    assert TOKENS * len(caller.keys) == result.tokens <= 40_000


@pytest.mark.parametrize(("calls", "tokens"), [(0, None), (62, None), (400, 0), (400, 10_000)], ids=str)
def test_a_budget_that_cannot_score_start_and_result_is_refused_before_any_call(
    tmp_path: Path, calls: int, tokens: int | None
) -> None:
    caller = Planted()
    with pytest.raises(InvalidRequest, match="too small"):
        search(tmp_path, caller, calls=calls, tokens=tokens)
    assert caller.keys == []


def test_only_start_and_best_are_tested_and_each_once(tmp_path: Path) -> None:
    caller = Planted()
    result = search(tmp_path, caller)
    tested = [key for key in caller.keys if "-test-" in key]
    assert len(tested) == 2 * len(split(task()).test)
    assert caller.keys[-len(tested) :] == tested
    assert result.start.test.count == len(split(task()).test)


def test_a_stopped_search_goes_on_without_calling_again(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole", Planted())
    stopped = Planted(stops_at=150)
    with pytest.raises(FunctionFailed, match="gone"):
        search(tmp_path / "parts", stopped)
    rest = Planted()
    resumed = search(tmp_path / "parts", rest, resume=True)
    assert set(stopped.keys).isdisjoint(rest.keys)
    assert len(stopped.keys) + len(rest.keys) == whole.calls
    assert resumed == whole


def test_a_line_that_a_kill_cut_short_is_asked_again(tmp_path: Path) -> None:
    whole = search(tmp_path, Planted())
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    again = Planted()
    assert search(tmp_path, again, resume=True) == whole
    assert len(again.keys) == 1


def test_a_larger_budget_goes_on_with_a_search_that_ended(tmp_path: Path) -> None:
    first = search(tmp_path, Planted(), calls=200)
    more = Planted()
    second = search(tmp_path, more, calls=600, resume=True)
    assert second.calls == first.calls + len(more.keys) <= 600
    assert second.best.dev >= first.best.dev


def test_every_candidate_and_its_cost_is_recorded(tmp_path: Path) -> None:
    result = search(tmp_path, Planted())
    rows = [json.loads(line) for line in (tmp_path / "candidates.jsonl").read_text().splitlines()]
    assert len(rows) == result.candidates
    assert rows[0]["instruction"] == task().instruction
    assert sum(row["calls"] for row in rows) == result.calls
    assert sum(row["tokens"] for row in rows) == result.tokens
    assert result.seconds == result.calls


def test_calls_run_in_parallel_and_no_more_than_asked_for(tmp_path: Path) -> None:
    caller = Planted()
    search(tmp_path, caller, parallel=5)
    assert caller.most_at_once == 5


def test_a_folder_that_holds_a_search_is_not_overwritten(tmp_path: Path) -> None:
    search(tmp_path, Planted(), calls=100)
    with pytest.raises(Conflict, match="--resume"):
        search(tmp_path, Planted(), calls=100)


def test_a_changed_task_is_not_resumed(tmp_path: Path) -> None:
    search(tmp_path, Planted(), calls=100)
    with pytest.raises(Conflict, match="task"):
        search(tmp_path, Planted(), one=task(instruction="Another."), calls=100, resume=True)


def test_another_seed_is_not_resumed(tmp_path: Path) -> None:
    search(tmp_path, Planted(), calls=100)
    with pytest.raises(Conflict, match="seed: 0, now 3"):
        search(tmp_path, Planted(), calls=100, seed=3, resume=True)


def test_two_searches_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "journal.jsonl").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="another process"):
            search(tmp_path, Planted())


def test_calls_that_fail_score_nothing_and_are_counted(tmp_path: Path) -> None:
    result = search(tmp_path, Planted(fails=lambda number: number % 10 == 0))
    assert result.failed == result.calls // 10
    assert result.start.dev < 0.1


def test_a_function_that_always_fails_ends_the_search_early(tmp_path: Path) -> None:
    caller = Planted(fails=lambda number: True)
    with pytest.raises(FunctionFailed, match="it raised"):
        search(tmp_path, caller)
    assert len(caller.keys) == len(split(task()).dev)


def test_a_metric_that_raises_says_for_what_and_is_mended_without_new_calls(tmp_path: Path) -> None:
    metric = tmp_path / "metric.py"
    metric.write_text("def score(answer, expected, asked):\n    return 1 / 0\n")
    one = task(metric={"kind": "python", "function": "metric.py:score", "folder": str(tmp_path)})
    caller = Planted()
    with pytest.raises(InvalidRequest, match=r"ZeroDivisionError.*--resume"):
        search(tmp_path / "out", caller, one=one)
    metric.write_text("def score(answer, expected, asked):\n    return answer == expected\n")
    rest = Planted()
    search(tmp_path / "out", rest, one=one, resume=True)
    assert set(caller.keys).isdisjoint(rest.keys)


def test_where_nothing_helps_the_start_is_the_result_and_is_tested_once(tmp_path: Path) -> None:
    caller = Planted()
    one = task(instruction="Answer.", sentences=[], shots=0)
    result = search(tmp_path, caller, one=one)
    assert result.best == result.start
    assert result.gain.mean == 0
    assert sum("-test-" in key for key in caller.keys) == len(split(one).test)
