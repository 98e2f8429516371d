"""A scenario of the simulator in a real platform's terms: settings, a workers file, functions, requests. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quickthaw.types import FunctionSpec, Limits
from quickthaw_platform.contracts import Way
from quickthaw_platform.simulator.scenario import Device, FunctionGroup, NodeGroup, Scenario
from quickthaw_platform.simulator.world import MAX_ATTEMPTS

PATIENCE_SECONDS = 240.0
"""How long a call may wait for a start where the scenario sets no limit."""

REMOTE_POLL_SECONDS = 2.0


def environment(scenario: Scenario, policy: str, keep_alive: str) -> dict[str, str]:
    """Return the settings that all processes share, as environment variables."""
    settings = {
        "allocation_policy": policy,
        "keep_alive_policy": keep_alive,
        "controller_interval": scenario.round,
        "heartbeat_ttl": scenario.heartbeat_ttl,
        "max_attempts": MAX_ATTEMPTS,
        "preload": "",  # the echo engine needs none of it
        "prefix_budget": 0,  # the simulation knows no primed templates
        "log_level": "warning",
    }
    return {f"QUICKTHAW_{name.upper()}": str(value) for name, value in settings.items()}


def workers_file(scenario: Scenario) -> str:
    """Return the text of a workers file with a worker for each node. A memory tier's bandwidth is the machine's."""
    tables = [_worker(f"{group.name}-{i}", group) for group in scenario.nodes for i in range(group.count)]
    lines = [
        "\n".join(["[[workers]]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())])
        for table in tables
    ]
    return "\n\n".join(["own_disks = true", *lines]) + "\n"


def _worker(node: str, group: NodeGroup) -> dict[str, str | float]:
    if group.kind != "cpu":
        raise ValueError(f'nodes {group.name!r}: a real platform runs them on the CPU; write kind = "cpu"')
    return {
        "node": node,
        "labels": ",".join(f"{name}={value}" for name, value in group.labels.items()),
        "node_memory": group.memory,
        "dram_budget": group.dram,
        "disk_budget": group.disk,
        "disk_bandwidth": group.bandwidths.disk,
        "remote_bandwidth": group.bandwidths.remote,
        "remote_poll": REMOTE_POLL_SECONDS,
    }


def homes(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Return the nodes whose disk has each function's checkpoint at the start."""
    nodes, functions = scenario.node_names(), scenario.function_names()
    match scenario.placed_on_disks:
        case "spread":
            return {name: (nodes[i % len(nodes)],) for i, name in enumerate(functions)}
        case "all":
            return {name: tuple(nodes) for name in functions}
    raise ValueError("placed_on_disks: a real platform's checkpoints lie on disks at the start; spread or all")


def specs(scenario: Scenario) -> list[FunctionSpec]:
    """Return the functions, each on the checkpoint of its own name."""
    (device,) = {group.device for group in scenario.nodes}
    return [
        _spec(f"{group.name}-{i}", group, scenario.devices[device], movable=scenario.migration is not None)
        for group in scenario.functions
        for i in range(group.count)
    ]


def _spec(name: str, group: FunctionGroup, device: Device, *, movable: bool) -> FunctionSpec:
    start = PATIENCE_SECONDS if group.start_limit is None else group.start_limit
    return FunctionSpec(
        name=name, model=name, engine="echo", options=echo_options(device, group), keep_alive=group.keep_alive,
        min_instances=group.min_instances, max_instances=group.max_instances, concurrency=group.concurrency,
        queue_size=group.queue_size, memory=group.memory, labels=group.labels, spread=group.spread,
        weight=group.weight, resumable=movable, limits=Limits(start=start, total=2 * start),
    )  # fmt: skip


def echo_options(device: Device, group: FunctionGroup) -> dict[str, float]:
    """Return the delays (seconds) by which the echo engine is as fast as the device; ValueError where it cannot be."""
    if not isinstance(group.tokens_in, int) or not isinstance(group.tokens_out, int):
        raise ValueError(f"functions {group.name!r}: the echo engine takes the same time for each call; give numbers")
    if device.slowdown_per_stream:
        raise ValueError("slowdown_per_stream: the echo engine's streams do not hinder each other")
    return {
        "first_token_delay": group.tokens_in / device.prefill_tokens_per_second,
        "token_delay": 1 / device.decode_tokens_per_second,
        "load_delay": device.init_seconds[Way.DISK],
    }


def request(tokens_in: int, tokens_out: int) -> dict[str, Any]:
    """Return the body of a call. The first token comes with the prefill, so it is one more than are decoded."""
    sampling = {"max_tokens": tokens_out + 1, "ignore_eos": True, "temperature": 0.0}
    return {"input": {"prompt": "x" * tokens_in}, "sampling": sampling}


def calibrated(scenario: Scenario, first_token: float, inits: Mapping[Way, float], stop: float) -> Scenario:
    """Return the scenario with what was measured on the idle platform, in seconds.

    That is a warm call's first token, what a start by each way takes beyond its load, and an instance's leaving.
    """
    (group,) = {group.tokens_in for group in scenario.functions}
    (name,) = scenario.devices
    assert isinstance(group, int), "specs has checked that"
    device = scenario.devices[name].model_copy(
        update={"prefill_tokens_per_second": group / first_token, "init_seconds": dict(inits)}
    )
    return scenario.model_copy(update={"devices": {name: device}, "stop": stop})
