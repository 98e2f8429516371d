"""What is compared, and in which order."""

from __future__ import annotations

import pytest

from quickthaw.errors import InvalidRequest
from quickthaw.types import FunctionSpec
from quickthaw_platform.comparison.sides import EndpointSide, sides, turns

SPEC = FunctionSpec(name="chat", model="m", max_instances=2, min_instances=1, keep_alive=7)
URL = EndpointSide("http://127.0.0.1:1", "m")


def test_only_what_says_how_many_instances_there_are_differs_between_backends() -> None:
    serverless, serverful, hybrid = sides(SPEC, ["serverless", "serverful", "hybrid"], {}, replicas=3)
    bounds = [
        (s.spec.replicas, s.spec.min_instances, s.spec.max_instances) for s in (serverless, serverful, hybrid) if s.spec
    ]
    assert bounds == [(None, 0, 2), (3, 0, 3), (3, 0, 4)]
    same = {"backend", "replicas", "min_instances", "max_instances"}
    dumps = [s.spec.model_dump(exclude=same) for s in (serverless, serverful, hybrid) if s.spec]
    assert dumps[0] == dumps[1] == dumps[2] == SPEC.model_dump(exclude=same)


def test_endpoints_come_behind_the_backends_under_their_own_names() -> None:
    found = sides(SPEC, ["serverless"], {"llama": EndpointSide("http://127.0.0.1:1", "m", command="serve it")})
    assert [(side.name, side.backend) for side in found] == [("serverless", "serverless"), ("llama", "endpoint")]
    recorded = found[1].recorded()
    assert (recorded.kind, recorded.url, recorded.always_on) == ("endpoint", "http://127.0.0.1:1", 1)
    assert "serve it" in recorded.note


def test_an_a_a_pair_is_the_first_side_under_another_name() -> None:
    *_, twin = sides(SPEC, ["serverful", "serverless"], {}, again=True)
    assert (twin.name, twin.backend, twin.twin_of) == ("serverful (again)", "serverful", "serverful")


@pytest.mark.parametrize(
    ("backends", "endpoints"),
    [
        ([], {}),  # nothing to compare
        (["serverless", "serverless"], {}),
        (["serverless"], {"serverless": URL}),
    ],
)
def test_sides_that_could_not_be_told_apart_are_refused(
    backends: list[str], endpoints: dict[str, EndpointSide]
) -> None:
    with pytest.raises(InvalidRequest):
        sides(SPEC, backends, endpoints)


def test_a_backend_that_there_is_none_of_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match=r"no serving backend is called 'x'; known: serverless, serverful, hybrid"):
        sides(SPEC, ["serverless", "x"], {})


def test_interleaved_each_repeat_begins_with_another_side_and_all_are_measured_as_often() -> None:
    order = turns(["a", "b", "c"], 3, interleaved=True)
    assert [name for name, _ in order[::3]] == ["a", "b", "c"]
    assert sorted(order) == sorted(turns(["a", "b", "c"], 3, interleaved=False))


def test_in_turn_a_side_has_all_its_blocks_before_the_next() -> None:
    assert turns(["a", "b"], 2, interleaved=False) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
