"""How many instances a version has, as its serving backend says."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw.errors import BackendNotFound, InvalidRequest
from quickthaw.types import FunctionSpec
from quickthaw_platform import plugins


def settled(backend: str, **fields: Any) -> FunctionSpec:
    spec = FunctionSpec(name="f", model="m", backend=backend, **fields)
    return plugins.serving_backend(backend).settle(spec)


def bounds(spec: FunctionSpec) -> tuple[int | None, int, int]:
    return spec.replicas, spec.min_instances, spec.max_instances


@pytest.mark.parametrize(
    ("backend", "given", "expected"),
    [
        ("serverless", {}, (None, 0, 1)),
        ("serverless", {"min_instances": 2, "max_instances": 5}, (None, 2, 5)),
        ("serverful", {}, (1, 1, 1)),
        ("serverful", {"replicas": 2}, (2, 2, 2)),  # static
        ("serverful", {"replicas": 2, "max_instances": 4}, (2, 2, 4)),  # autoscaled
        ("serverful", {"replicas": 2, "min_instances": 2}, (2, 2, 2)),
        ("hybrid", {"max_instances": 2}, (1, 1, 2)),
        ("hybrid", {"replicas": 2, "max_instances": 6}, (2, 2, 6)),
    ],
)
def test_the_bounds_are_filled_in(backend: str, given: dict[str, int], expected: tuple[int | None, int, int]) -> None:
    assert bounds(settled(backend, **given)) == expected


@pytest.mark.parametrize("backend", ["serverless", "serverful", "hybrid"])
def test_what_is_settled_stays_as_it_is(backend: str) -> None:
    once = settled(backend, max_instances=3)
    assert plugins.serving_backend(backend).settle(once) == once


@pytest.mark.parametrize(
    ("backend", "given", "field"),
    [
        ("serverless", {"replicas": 1}, "replicas"),
        ("serverless", {"min_instances": 2}, "min_instances"),  # of which one would run
        ("serverful", {"min_instances": 2}, "min_instances"),
        ("serverful", {"replicas": 3, "min_instances": 2}, "min_instances"),
        ("hybrid", {}, "max_instances"),  # nothing to overflow into
        ("hybrid", {"replicas": 4, "max_instances": 4}, "max_instances"),
        ("endpoint", {}, "backend"),  # runs elsewhere
    ],
)
def test_what_a_backend_cannot_honour_is_refused_by_the_field_s_name(
    backend: str, given: dict[str, int], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        settled(backend, **given)
    assert caught.value.param == field
    assert field in caught.value.message


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(BackendNotFound, match="serverless"):
        plugins.serving_backend("serverles")


def test_only_a_serverful_version_lets_calls_wait_for_the_autoscaler() -> None:
    flags = {
        name: (plugins.serving_backend(name).starts_on_demand, plugins.serving_backend(name).keeps_idle)
        for name in ("serverless", "serverful", "hybrid")
    }
    assert flags == {"serverless": (True, True), "serverful": (False, False), "hybrid": (True, True)}
