from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.simulator.scenario import read_scenario
from tests.unit.simulator.scenarios import scenario

EXAMPLES = sorted((Path(__file__).parents[3] / "deploy" / "scenarios").glob("*.toml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_are_valid(file: Path) -> None:
    assert read_scenario(file).node_names()


def test_sizes_and_times_are_read() -> None:
    given = scenario(duration="2m", invocations=None)
    assert given.nodes[0].bandwidths.remote == 100_000_000
    assert given.duration == 120


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"node": {"memory": "lots"}}, "nodes.0.memory"),
        ({"node": {"device": "tpu"}}, r"there is no \[devices.tpu\]"),
        ({"node": {"speed": 1}}, "nodes.0.speed"),  # no such field
        ({"duration": "1m"}, "either `invocations` or `duration`"),
        ({"arrivals": {"kind": "poisson"}}, "needs a `rate`"),
        ({"arrivals": {"kind": "azure"}}, "needs the `path`"),
        ({"tokens": "trace"}, "tell no tokens"),
        ({"failures": [{"at": 1, "node": "x"}]}, "no node 'x'"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        scenario(**changes)


def test_a_bad_file_is_told_of_in_one_line_with_the_field(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("invocations = 0\n")
    with pytest.raises(SettingsInvalid) as caught:
        read_scenario(file)
    assert "bad.toml: invocations:" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_is_no_toml_is_told_of(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("invocations =\n")
    with pytest.raises(SettingsInvalid, match="not valid TOML"):
        read_scenario(file)


def test_the_path_of_a_trace_counts_from_the_scenario(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        """
        invocations = 1
        devices.g.prefill_tokens_per_second = 1
        devices.g.decode_tokens_per_second = 1
        devices.g.init_seconds = {dram = 1, disk = 1, remote = 1}
        nodes = [{device = "g", memory = 1, dram = 1, disk = 1, bandwidths = {dram = 1, disk = 1, remote = 1}}]
        functions = [{name = "f", checkpoint = 1, memory = 1}]
        arrivals = {kind = "azure", path = "t.csv"}
        """
    )
    assert read_scenario(file).arrivals.path == tmp_path / "t.csv"
