"""Hosts whose clocks disagree by minutes: what is measured and limited goes by Redis' clock alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from quickthaw import FunctionSpec, InvocationState
from tests.acceptance.cluster import EAST_AND_WEST, Cluster, kept_up, wait_for
from tests.integration.worker.echo_checkpoint import MODEL, write_checkpoint

AHEAD_SECONDS = {"a": 60, "b": -60, "gateway": 120, "controller": -120}
"""By process; the others' clocks are right."""

SHIFTED = """
import os, pathlib, time
_right = time.time
time.time = lambda: _right() + {seconds}
with pathlib.Path(__file__).with_name("told").open("a") as file:
    file.write(str(os.getpid()) + "\\n")
"""
TEXT = "a word or two"
LONG_TEXT = " ".join(f"word{i}" for i in range(80))
MOST_SECONDS = 30.0
"""Of a call here; less than any two clocks differ."""


class Disagreeing(Cluster):
    """A cluster in which some processes are told a wrong time."""

    def environment_of(self, name: str) -> dict[str, str]:
        """Return the environment of one process, with a clock of its own."""
        environment = super().environment_of(name)
        if name not in AHEAD_SECONDS:
            return environment
        folder = self.data_dir / f"clock-{name}"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(SHIFTED.format(seconds=AHEAD_SECONDS[name]))
        return {**environment, "PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Nodes `a` and `b`, with the functions `east` and `west`, each on one of them, and `both`."""
    data_dir = tmp_path_factory.mktemp("clocks")
    write_checkpoint(data_dir / "checkpoints")
    file = data_dir / "workers.toml"
    file.write_text(EAST_AND_WEST.replace("own_disks = true", ""))
    for cluster in kept_up(Disagreeing(data_dir, workers_file=file, preload="none", gateway_workers="1")):
        shape: dict[str, Any] = {
            "model": MODEL,
            "engine": "echo",
            "memory": "16MiB",
            "options": {"token_delay": "20ms"},
        }
        for zone in ("east", "west"):
            cluster.client.deploy(FunctionSpec(name=zone, labels={"zone": zone}, keep_alive="3s", **shape))
        cluster.client.deploy(FunctionSpec(name="both", **shape))
        yield cluster


def redis_seconds(cluster: Cluster) -> float:
    seconds, micros = cluster.redis.time()
    return float(seconds) + float(micros) / 1e6


def instances_of(cluster: Cluster, function: str) -> int:
    return sum(instance.function == function for instance in cluster.client.instances())


def test_the_processes_are_told_wrong_times(cluster: Cluster) -> None:
    for name in AHEAD_SECONDS:
        told = (cluster.data_dir / f"clock-{name}" / "told").read_text().split()
        assert str(cluster.processes[name].pid) in told


@pytest.mark.parametrize(("function", "node"), [("east", "a"), ("west", "b")])
def test_a_call_is_served_in_time_and_its_times_are_in_order(cluster: Cluster, function: str, node: str) -> None:
    before = redis_seconds(cluster)
    call = cluster.client.spawn(function, {"prompt": TEXT}, limits={"start": MOST_SECONDS, "total": MOST_SECONDS})
    assert call.result(timeout=MOST_SECONDS) == TEXT
    info = call.status()
    steps = info.created_at, info.assigned_at, info.started_at, info.first_output_at, info.ended_at
    times = [before, *(at for at in steps if at is not None), redis_seconds(cluster)]
    assert len(times) == 7
    assert times == sorted(times)
    assert (info.node, info.epoch, info.state) == (node, 1, InvocationState.SUCCEEDED)
    assert all(0 <= seconds < MOST_SECONDS for seconds in info.stages.values())
    start = cluster.client.explain(call.id).start
    assert start is None or start.actual_seconds is None or 0 < start.actual_seconds < MOST_SECONDS


def test_no_node_is_given_up_and_idle_instances_leave_when_it_is_time(cluster: Cluster) -> None:
    cluster.client.invoke("east", {"prompt": "thaw"})
    left = cluster.client.spawn("east", {"prompt": "again"})
    left.result(timeout=MOST_SECONDS)
    assert [i.function for i in cluster.client.instances() if i.function == "east"] == ["east"]
    wait_for(
        lambda: not [i for i in cluster.client.instances() if i.function == "east"], "the end of its keep-alive", 20
    )
    assert redis_seconds(cluster) - (left.status().ended_at or 0) >= 3
    assert cluster.nodes() == {"a", "b"}


def test_a_stream_moves_from_the_one_to_the_other(cluster: Cluster) -> None:
    call = cluster.client.spawn("both", {"prompt": LONG_TEXT})
    wait_for(lambda: call.status().first_output_at, "the first output")
    cluster.client.migrate(call.id)
    assert call.result(timeout=MOST_SECONDS) == LONG_TEXT
    life = cluster.client.life(call.id)
    assert life.moves == 1
    assert all(0 <= gap < 2 for gap in life.gaps.values())
    assert [step.at for step in life.steps] == sorted(step.at for step in life.steps)
