"""Sleeping processes on a real worker: what may sleep, what wakes it, and what ends it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Collection

import pytest

from quickthaw.types import InvocationInfo, Version
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.registry.secrets import SecretStore
from tests.integration.worker.conftest import MakeNode
from tests.integration.worker.node_process import NodeProcess
from tests.integration.worker.worker_process import NODE, wait_for

CAN_SLEEP = {"can_sleep": True, "load_delay": "300ms"}


def asleep(node: NodeProcess) -> list[str]:
    return list(json.loads(node.redis.hget(f"qt:node:{NODE}", "asleep") or "[]"))


def processes(node: NodeProcess) -> set[int]:
    return set(node.pids().get("qt-instance", []))


def call_and_stop(node: NodeProcess, version: Version) -> tuple[InvocationInfo, set[int]]:
    """Call a version when it has no instance, and stop that which it got; returns the answer and new processes."""
    before = processes(node)
    info = node.call(version)
    (view,) = node.slots.instances(version=version.id)
    wait_for(lambda: node.state(view.id) == "ready", "the end of the start")
    made = processes(node) - before
    node.commands.stop(NODE, view.id)
    wait_for(lambda: not node.slots.instances(version=version.id), "the end of the instance")
    return info, made


def fallen_asleep(node: NodeProcess, version: Version) -> set[int]:
    """Return the processes of a version that sleeps now."""
    _info, made = call_and_stop(node, version)
    wait_for(lambda: version.id in asleep(node), f"{version.function} being asleep")
    return made


def wait_for_the_end_of(pids: Collection[int], node: NodeProcess) -> None:
    assert pids
    wait_for(lambda: processes(node).isdisjoint(pids), "the end of its process")


def test_the_next_start_wakes_the_process_and_loads_nothing(node: NodeProcess) -> None:
    version = node.deploy("wakes", options=CAN_SLEEP)
    assert fallen_asleep(node, version) <= processes(node)
    info, made = call_and_stop(node, version)
    assert made == set()
    assert (info.result, info.tier) == ("hello", "asleep")
    assert {"queue", "wake", "prefill"} <= set(info.stages)
    assert {"fork", "engine", "handler", "template"}.isdisjoint(info.stages)
    assert info.stages["arrival"] == 0
    assert sum(info.stages.values()) < 0.3  # the load delay is not paid again


def test_while_it_sleeps_nothing_of_it_counts_and_while_it_serves_it_does_not_sleep(node: NodeProcess) -> None:
    version = node.deploy("counts", options=CAN_SLEEP)
    fallen_asleep(node, version)
    assert node.slots.instances(version=version.id) == []
    node.ready(version)
    wait_for(lambda: version.id not in asleep(node), "its being awake")


def test_as_many_as_were_stopped_sleep_and_each_wakes_once(node: NodeProcess) -> None:
    version = node.deploy("two", options=CAN_SLEEP, max_instances=3)
    first = {node.ready(version), node.ready(version)}
    before = processes(node)
    for instance in first:
        node.commands.stop(NODE, instance)
    wait_for(lambda: not node.slots.instances(version=version.id), "the end of both")
    wait_for(lambda: version.id in asleep(node), "their being asleep")
    node.ready(version)
    node.ready(version)
    assert processes(node) == before
    node.ready(version)
    assert processes(node) > before


@pytest.mark.parametrize("source", [None, "def handle(model, prompt):\n    return model.generate(prompt).text\n"])
def test_a_function_with_code_of_its_own_and_an_engine_that_cannot_end_instead(
    node: NodeProcess, source: str | None
) -> None:
    options = {} if source is None else CAN_SLEEP
    version = node.deploy("ends" if source is None else "codes", source, options=options)
    _info, made = call_and_stop(node, version)
    wait_for_the_end_of(made, node)
    assert version.id not in asleep(node)


def test_an_instance_that_has_not_proved_itself_does_not_sleep(node: NodeProcess) -> None:
    version = node.deploy("unproved", options=CAN_SLEEP | {"first_token_delay": "30s"})
    instance = node.start_instance(version)
    wait_for(lambda: node.state(instance) == "loaded", "its load")
    node.commands.stop(NODE, instance)
    wait_for(lambda: not node.slots.instances(version=version.id), "its end")
    assert version.id not in asleep(node)


def test_a_sleeper_that_is_killed_costs_its_use_alone(node: NodeProcess) -> None:
    version = node.deploy("killed", options=CAN_SLEEP)
    for pid in fallen_asleep(node, version):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: version.id not in asleep(node), "the loss being noticed")
    info = node.call(version)
    assert info.result == "hello"
    assert info.tier != "asleep"


def test_a_process_that_dies_while_it_wakes_is_replaced_by_another_start(node: NodeProcess) -> None:
    version = node.deploy("dies", options=CAN_SLEEP)
    pids = fallen_asleep(node, version)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    identity = node.invoke(version)
    wait_for(lambda: version.id not in asleep(node), "its being told to wake")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    info = node.ended(identity)
    assert info.result == "hello"
    assert info.tier != "asleep"


def test_it_goes_with_its_function(node: NodeProcess) -> None:
    version = node.deploy("deleted", options=CAN_SLEEP)
    pids = fallen_asleep(node, version)
    node.registry.delete("deleted")
    wait_for_the_end_of(pids, node)
    wait_for(lambda: version.id not in asleep(node), "its record's end")


def test_with_another_secret_it_is_not_woken_and_ends(node: NodeProcess) -> None:
    version = node.deploy("secret", options=CAN_SLEEP)
    pids = fallen_asleep(node, version)
    sealed = SecretStore(node.redis).sealed("secret", "TOKEN", "new")
    node.redis.hset(RedisKey.FUNCTION_SECRETS.of("secret"), "TOKEN", sealed)
    info = node.call(version)
    assert info.tier != "asleep"
    wait_for_the_end_of(pids, node)


def test_a_node_that_drains_keeps_none(make_node: MakeNode) -> None:
    node = make_node()
    version = node.deploy("drains", options=CAN_SLEEP)
    pids = fallen_asleep(node, version)
    node.commands.drain(NODE)
    wait_for_the_end_of(pids, node)


def test_without_a_budget_all_end_and_one_that_is_too_large_says_so_once(make_node: MakeNode) -> None:
    node = make_node(sleep_budget=1 << 20)
    version = node.deploy("large", options=CAN_SLEEP)
    for _ in range(2):
        _info, made = call_and_stop(node, version)
        wait_for_the_end_of(made, node)
    assert node.log().count("(sleep_budget)") == 1


def test_killing_the_worker_ends_what_sleeps(make_node: MakeNode) -> None:
    node = make_node()
    fallen_asleep(node, node.deploy("orphan", options=CAN_SLEEP))
    node.kill()
    node.assert_no_process_left()
