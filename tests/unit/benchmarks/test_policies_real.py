"""bench-policies-real: what of a scenario reaches the platform, how its answers are read, and what the report says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.policies_real import __main__ as policies_real
from benchmarks.policies_real.calibration import Calibration
from benchmarks.policies_real.calls import CallReader, due
from benchmarks.policies_real.report import Pair, World, contradictions, draw, goals, rank, said
from benchmarks.policies_real.settings import calibrated, echo_options, environment, homes, request, specs, workers_file
from quickthaw_platform.commands.workers import read_workers
from quickthaw_platform.contracts import Way
from quickthaw_platform.settings import Settings
from quickthaw_platform.simulator.scenario import Scenario, read_scenario
from tests.unit.simulator.scenarios import scenario as small

WAYS: list[Way] = [way for way in Way if not way.is_of_a_version]
REAL = read_scenario(policies_real.SCENARIO)


def scenario(**changes: Any) -> Scenario:
    return small(**{"node": {"kind": "cpu"}, "placed_on_disks": "spread", **changes})


def world(*first_tokens: float, **changes: Any) -> World:
    given: dict[str, Any] = {"first_tokens": first_tokens, "waited_share": 0.5, "starts": {"disk": 2}}
    return World(**(given | changes))


def pair(policy: str, real: float, simulated: float) -> Pair:
    return Pair(policy, world(real), world(simulated), 1.0)


def test_each_node_of_the_scenario_is_a_worker_with_its_tiers(tmp_path: Path) -> None:
    file = tmp_path / "workers.toml"
    file.write_text(workers_file(REAL))
    workers = read_workers(file, Settings(data_dir=tmp_path))
    assert [worker.node for worker in workers] == REAL.node_names()
    (group,) = REAL.nodes
    for worker in workers:
        assert worker.environment["QUICKTHAW_DISK_BANDWIDTH"] == str(group.bandwidths.disk)
        assert worker.environment["QUICKTHAW_REMOTE_BANDWIDTH"] == str(group.bandwidths.remote)
        assert worker.environment["QUICKTHAW_DRAM_BUDGET"] == str(group.dram)
        assert worker.environment["QUICKTHAW_NODE_MEMORY"] == str(group.memory)
    assert "QUICKTHAW_DISK_DIR" in workers[1].environment  # a disk of its own


def test_a_node_keeps_its_labels_and_must_be_on_the_cpu() -> None:
    table = tomllib.loads(
        workers_file(scenario(node={"kind": "cpu", "count": 1, "labels": {"zone": "a", "rack": "7"}}))
    )
    assert table["workers"][0]["labels"] == "zone=a,rack=7"
    with pytest.raises(ValueError, match='write kind = "cpu"'):
        workers_file(scenario(node={"kind": "cuda"}))


def test_all_processes_run_the_policy_at_the_controllers_pace() -> None:
    found = environment(scenario(round=2.0), "locality", "fixed")
    assert found["QUICKTHAW_ALLOCATION_POLICY"] == "locality"
    assert found["QUICKTHAW_CONTROLLER_INTERVAL"] == "2.0"


def test_checkpoints_lie_where_the_simulator_puts_them() -> None:
    spread = homes(scenario(functions=3))
    assert spread == {"f-0": ("node-0",), "f-1": ("node-1",), "f-2": ("node-0",)}
    assert homes(scenario(placed_on_disks="all"))["f-0"] == ("node-0", "node-1")
    with pytest.raises(ValueError, match="spread or all"):
        homes(scenario(placed_on_disks="none"))


def test_functions_are_deployed_as_the_scenario_has_them_and_move_only_if_it_says_so() -> None:
    found = specs(scenario(functions=2, function={"concurrency": 3, "keep_alive": 7, "weight": 2.0, "start_limit": 9}))
    assert [spec.name for spec in found] == ["f-0", "f-1"]
    spec = found[0]
    assert (spec.model, spec.engine, spec.concurrency, spec.keep_alive, spec.weight) == ("f-0", "echo", 3, 7, 2.0)
    assert (spec.limits.start, spec.resumable) == (9, False)
    assert specs(scenario(migration={}))[0].resumable


def test_the_echo_engine_is_as_fast_as_the_device() -> None:
    given = scenario()
    delays = echo_options(given.devices["gpu"], given.functions[0])
    assert delays == {"first_token_delay": 1.0, "token_delay": 0.1, "load_delay": 0.5}  # 1,000 tokens in, 10 a second
    assert request(5, 10)["sampling"]["max_tokens"] == 11  # ten decoded after the prefill's
    assert len(request(5, 10)["input"]["prompt"]) == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"function": {"tokens_in": {"mean": 5.0}}}, "give numbers"),
        ({"devices": {"gpu": small().devices["gpu"].model_copy(update={"slowdown_per_stream": 0.1})}}, "hinder"),
    ],
)
def test_what_the_echo_engine_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        specs(scenario(**changes))


def test_what_was_measured_replaces_the_devices_own_figures() -> None:
    inits = dict.fromkeys(WAYS, 0.7)
    found = calibrated(scenario(), 1.25, inits, 0.2)
    assert found.devices["gpu"].prefill_tokens_per_second == pytest.approx(1000 / 1.25)
    assert (found.devices["gpu"].init_seconds, found.stop) == (inits, 0.2)


def test_a_calibration_makes_the_scenario_what_the_platform_is() -> None:
    found = Calibration(1.25, dict.fromkeys(WAYS, 0.7), 0.2)
    assert found.applied_to(scenario()) == calibrated(scenario(), 1.25, dict.fromkeys(WAYS, 0.7), 0.2)
    assert found.settings()["init s"] == {"template": 0.7, "dram": 0.7, "disk": 0.7, "remote": 0.7}


def test_the_platform_gets_the_simulators_calls() -> None:
    given = scenario(functions=3, invocations=20)
    found = due(given)
    assert len(found) == 20
    assert [call.at for call in found] == sorted(call.at for call in found)
    assert {call.function for call in found} <= set(given.function_names())
    assert {(call.tokens_in, call.tokens_out) for call in found} == {(1000, 10)}


def test_a_stream_tells_the_first_token_and_whether_the_call_waited() -> None:
    reader = CallReader(10.0)
    for line in (
        b"event: status", b'data: {"state":"queued"}', b"", b"event: status", b'data: {"state":"assigned"}',
        b"event: chunk", b'data: {"delta":{"text":"x","tokens":[120]}}', b"event: result", b'data: {"value":"x"}',
    ):  # fmt: skip
        reader.feed(line, 12.5)
    seen = reader.seen()
    assert (seen.first_token, seen.waited, seen.error) == (2.5, True, None)


def test_a_stream_that_fails_or_breaks_off_has_no_first_token() -> None:
    failed, broken = CallReader(0.0), CallReader(0.0)
    failed.feed(b"event: error", 1.0)
    failed.feed(b'data: {"error":{"type":"node_lost"}}', 1.0)
    broken.feed(b"event: chunk", 1.0)
    broken.feed(b'data: {"delta":{"text":"x"}}', 1.0)
    assert failed.seen().first_token is None
    assert "node_lost" in (failed.seen().error or "")
    assert broken.seen().error == "the stream ended before its result"


def test_policies_within_five_percent_of_a_places_best_share_it() -> None:
    assert rank({"a": 1.0, "b": 1.04, "c": 1.08, "d": 3.0}) == [("a", "b"), ("c",), ("d",)]


def test_only_pairs_that_are_apart_in_both_worlds_can_contradict() -> None:
    real = {"a": 1.0, "b": 1.03, "c": 2.0, "d": 3.0}
    simulated = {"a": 1.5, "b": 1.0, "c": 3.0, "d": 2.0}
    assert contradictions(real, simulated) == [("c", "d")]


def test_goals_are_the_ranking_and_the_error_of_each_mean_ours_first() -> None:
    pairs = [pair("random", 2.0, 1.0), pair("startup-time", 1.0, 1.05)]
    ranking, ours, theirs, lost = goals(pairs)
    assert (ranking.value, ranking.held) == (0, True)  # tied in simulation
    assert ours.name.endswith("startup-time")
    assert ours.value == pytest.approx(0.05)
    assert ours.held
    assert theirs.value == pytest.approx(0.5)
    assert lost.held
    assert said(pairs) == {"real": "startup-time < random", "simulated": "random = startup-time"}


def test_a_row_has_both_worlds_side_by_side() -> None:
    found = Pair("random", world(1.0, 3.0, lost=1), world(1.0, 2.0, starts={"template": 4, "remote": 1}), 0.8)
    row = found.row()
    assert (row["mean s, real"], row["mean s, simulated"]) == (2.0, 1.5)
    assert row["error of mean"] == pytest.approx(-0.25)
    assert row["lost"] == 1
    assert list(found.starts_row().values()) == ["random", 0.5, 0.5, "0 / 0 / 2 / 0", "4 / 0 / 0 / 1"]


def test_the_picture_has_a_panel_for_each_policy(tmp_path: Path) -> None:
    draw([pair("startup-time", 1.0, 1.1), pair("random", 2.0, 1.9)], tmp_path / "some" / "where.svg")
    drawn = (tmp_path / "some" / "where.svg").read_text()
    assert "<!-- startup-time -->" in drawn
    assert "<!-- random -->" in drawn
    assert "<!-- real, mean 2.00 s -->" in drawn


def test_without_the_trace_the_command_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arrivals = REAL.arrivals.model_copy(update={"path": tmp_path / "none.csv.gz"})
    monkeypatch.setattr(policies_real, "read_scenario", lambda _: REAL.model_copy(update={"arrivals": arrivals}))
    done = CliRunner().invoke(policies_real.main, [])
    assert done.exit_code == 1
    assert "there is no trace at" in done.output
