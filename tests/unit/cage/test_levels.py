"""Which level a function needs, and which ones a node tries."""

from __future__ import annotations

import pytest

from quickthaw.errors import StartFailed
from quickthaw.types import FunctionSpec, Isolation, Network
from quickthaw_platform.cage.levels import Grant, at_least, demanded, levels_below
from quickthaw_platform.cage.order import CageOrder

STRICT, PROCESS, NONE = Isolation.STRICT, Isolation.PROCESS, Isolation.NONE


def spec(**fields: object) -> FunctionSpec:
    return FunctionSpec.model_validate({"name": "f", "model": "m", **fields})


def test_strict_is_stronger_than_process_and_that_than_none() -> None:
    assert [at_least(level, PROCESS) for level in (STRICT, PROCESS, NONE)] == [True, True, False]


@pytest.mark.parametrize(
    ("fields", "setting", "level"),
    [
        ({}, None, NONE),
        ({"isolation": "process"}, None, PROCESS),
        ({"isolation": "process"}, STRICT, STRICT),  # what a node is set to is not weakened by a function
        ({"network": "none"}, None, PROCESS),  # below that level nothing keeps a process from the network
        ({"network": "none", "isolation": "none"}, None, PROCESS),
        ({"network": "none", "isolation": "strict"}, NONE, STRICT),
        ({"network": "host"}, None, NONE),
        ({"network": "egress"}, None, STRICT),  # below that level there is no network of its own
    ],
    ids=["nothing", "a level", "a stronger setting", "no network", "only no network", "both", "the network", "egress"],
)
def test_a_function_needs_the_weakest_level_that_keeps_all_it_asks_for(
    fields: dict[str, str], setting: Isolation | None, level: Isolation
) -> None:
    assert demanded(spec(**fields), setting) is level


def test_the_network_of_a_node_counts_for_functions_that_name_none() -> None:
    assert demanded(spec(), None, Network.NONE) is PROCESS
    assert demanded(spec(), None, Network.EGRESS) is STRICT
    assert demanded(spec(network="host"), None, Network.EGRESS) is NONE


def test_a_node_tries_the_strongest_level_first_and_none_beyond_its_setting() -> None:
    assert levels_below(None) == (STRICT, PROCESS, NONE)
    assert levels_below(PROCESS) == (PROCESS, NONE)


def order(level: Isolation) -> CageOrder:
    return CageOrder(level, Network.NONE, 1 << 20, "/work", readable=("/data",), hidden=("/secret",), tasks=3)


def test_an_order_arrives_as_it_was_sent_at_the_level_that_the_node_gives() -> None:
    found = CageOrder.of(order(PROCESS).frame(), Grant(STRICT))
    assert found == order(STRICT)
    assert found.network is Network.NONE


def test_an_order_that_the_node_cannot_keep_is_refused_with_the_reason() -> None:
    with pytest.raises(StartFailed, match="`strict` is demanded, and this node gives `process`: no user namespaces"):
        CageOrder.of(order(STRICT).frame(), Grant(PROCESS, "no user namespaces"))
