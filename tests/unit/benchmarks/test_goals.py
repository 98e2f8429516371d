"""The goals of the three benchmarks, from given measurements."""

import pytest

from benchmarks import int8, overhead
from benchmarks.cold import report as cold
from benchmarks.cold.memory import private
from benchmarks.load import Load
from benchmarks.report import Goal, Report
from benchmarks.sse import Arrival, Stream
from benchmarks.warm import report as warm_report


def goals(report: Report) -> dict[str, Goal]:
    return {goal.name: goal for goal in report.goals}


COLD = {
    cold.LLAMACPP: [0.09, 0.10, 0.90],
    cold.LLAMACPP_UNSEEN: [0.20],
    cold.LLAMACPP_WARM: [0.14],
    cold.TRANSFORMERS: [0.19, 0.20, 0.90],
    cold.TRANSFORMERS_UNSEEN: [0.30],
    cold.primed(200): [0.22],
    cold.primed(1000): [0.26],
    cold.FLOOR: [0.14, 0.16, 0.15],
    cold.SERVE: [6.0, 5.0, 7.0],
    cold.LLAMA: [0.5, 0.4, 0.6],
    cold.ASLEEP: [0.2],
    "from_pretrained + generate": [5.3],
}
MEMORY = cold.Memory(primed=10_000_000, second=40_000_000)


def test_cold_goals_compare_medians() -> None:
    found = goals(cold.report(COLD, MEMORY, {}))
    expected = {
        f"{cold.LLAMACPP_UNSEEN}, less 60 ms, over its warm first token": (1.0, True),
        f"llamacpp: times faster than {cold.LLAMA} on demand": (5.0, True),
        f"llamacpp: times faster than {cold.ASLEEP}": (2.0, False),
        f"{cold.LLAMACPP}: times faster than {cold.SERVE}": (60.0, True),
        f"{cold.TRANSFORMERS}: times faster than {cold.SERVE}": (30.0, True),
        f"{cold.primed(200)} over a beginning never seen": (1.1, True),
        f"{cold.primed(1000)} over a beginning never seen": (1.3, False),
        f"{cold.TRANSFORMERS_UNSEEN}, over its floor": (2.0, False),
        "private MB of an instance with 1,000 primed": (10.0, True),
        "private MB of a second instance": (40.0, False),
    }
    assert {name: goal.value for name, goal in found.items()} == pytest.approx(
        {name: value for name, (value, _) in expected.items()}
    )
    assert {name: goal.held for name, goal in found.items()} == {name: held for name, (_, held) in expected.items()}


def test_cold_rows_name_every_way_with_its_factor() -> None:
    rows = {row["way"]: row for row in cold.report(COLD, MEMORY, {}).rows}
    assert set(rows) == set(COLD)
    assert rows[cold.SERVE]["× llamacpp from zero"] == pytest.approx(60)
    assert rows[cold.LLAMACPP]["runs"] == 3


def test_private_memory_is_what_is_shared_with_nobody() -> None:
    rollup = (
        "55d0-7ffc ---p 00000000 00:00 0  [rollup]\n"
        "Rss: 900 kB\nShared_Dirty: 700 kB\nPrivate_Clean: 12 kB\nPrivate_Dirty: 100 kB\n"
    )
    assert private(rollup) == 112 * 1024


def stream(first: float, gap: float, tokens: int = 3, sent: float = 0.0) -> Stream:
    arrivals = tuple(Arrival(sent + first + number * gap, "x") for number in range(tokens))
    return Stream(sent, arrivals[-1].at, arrivals, done=True, tokens=tokens)


def test_warm_goals_are_what_the_platform_adds() -> None:
    latencies = [
        warm_report.Latency.of(warm_report.PLATFORM, 8, [stream(0.104, 0.0303), stream(0.104, 0.0303)]),
        warm_report.Latency.of(warm_report.ENGINE, 8, [stream(0.100, 0.03), stream(0.100, 0.03)]),
    ]
    throughputs = [
        warm_report.Throughput(way, "float32", (rate,))
        for way, rate in ((warm_report.PLATFORM, 76.0), ("generate_batch", 20.0), ("static batch", 80.0))
    ]
    found = goals(warm_report.report(latencies, throughputs, {}))
    assert found["8 streams: added to first token, p50 (ms)"].value == pytest.approx(4)
    assert found["8 streams: added to first token, p99 (ms)"].value == pytest.approx(4)
    assert found["8 streams: time for each further token, p50, over the engine's"].value == pytest.approx(1.01)
    assert found["float32: tokens/s at 8 streams over generate_batch"].value == pytest.approx(3.8)
    assert found["float32: tokens/s at 8 streams over static batch"].value == pytest.approx(0.95)
    assert len(found) == 5


def echo(number: int, text: str | None = None, done: bool = True) -> Stream:
    said = overhead.prompt(number) if text is None else text
    return Stream(0.0, 0.2, (Arrival(0.1, said),), done=done)


def test_an_answer_to_another_request_is_lost() -> None:
    assert overhead.prompt(1) != overhead.prompt(2)
    assert list(overhead.lost([echo(0), echo(1, text=overhead.prompt(2)), echo(2, done=False), echo(3)])) == [1, 2]


def test_overhead_counts_what_was_lost_and_times_the_rest() -> None:
    load = Load((echo(0), echo(1, done=False)), seconds=0.5, client_cores=0.25)
    row = overhead.row(4, load, platform_cores=1.5)
    assert row["requests/s"] == pytest.approx(4)
    assert row["whole p99 ms"] == pytest.approx(200)
    report = overhead.report([row], {})
    assert report.goals == (Goal("requests lost", 1, 0, "<="),)
    assert not report.goals[0].held


def test_a_level_at_which_all_is_lost_still_has_a_row() -> None:
    row = overhead.row(4, Load((echo(0, done=False),), seconds=1.0, client_cores=0.1), platform_cores=0.0)
    assert row["first token p50 ms"] is None
    assert row["lost"] == 1


def test_prompts_have_the_stated_length() -> None:
    assert {len(overhead.prompt(number)) for number in (0, 99_999_999)} == {overhead.TEXT_CHARACTERS}


def test_stages_stand_side_by_side_for_each_tier() -> None:
    stages: dict[str, list[dict[str, float]]] = {
        "dram": [{"queue": 0.1, "prefill": 0.5}],
        "remote": [{"queue": 0.1, "arrival": 1.0, "novel": 0.5}, {"queue": 0.3, "arrival": 3.0}],
    }
    rows = {row["stage"]: row for row in cold.stage_report(stages, {}).rows}
    assert rows["queue"] == {"stage": "queue", "dram": 0.1, "remote": 0.2}
    assert rows["arrival"] == {"stage": "arrival", "dram": 0.0, "remote": 2.0}
    assert rows["novel"]["remote"] == 0.25
    assert rows["all"] == {"stage": "all", "dram": 0.6, "remote": pytest.approx(2.45)}


def test_eight_bits_are_compared_round_by_round() -> None:
    speeds = {
        "bfloat16": [int8.Speed(0.2, 20.0, 60.0), int8.Speed(0.4, 40.0, 80.0)],
        "int8": [int8.Speed(0.1, 30.0, 60.0), int8.Speed(0.3, 44.0, 90.0)],
    }
    made = int8.report(speeds, {"bfloat16": 2_000_000, "int8": 1_000_000}, {})
    assert [(row["weights"], row["MB"]) for row in made.rows] == [("bfloat16", 2.0), ("int8", 1.0)]
    assert made.rows[1]["prefill s"] == pytest.approx(0.2)
    (goal,) = made.goals
    assert goal.value == pytest.approx(1.3)
