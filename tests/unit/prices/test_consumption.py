from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.prices.consumption import Consumption, InstanceSpan, read_consumption, write_consumption

USE = Consumption(
    period_seconds=300,
    request_seconds=np.array([1.5, 0.25]),
    instances=(InstanceSpan(60, starting=1, busy=2, idle=56.5, draining=0.5),),
    always_on=1.5,
    vcpus=2,
    memory_gib=1.5,
    gpu="L4",
    gpus=1,
    tokens_in=100,
    tokens_out=20,
    tokens_cached=30,
)


def test_a_consumption_comes_back_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "use.json"
    write_consumption(USE, file, "a test")
    found, about = read_consumption(file)
    assert about == "a test"
    assert found.durations.tolist() == [1.5, 0.25]
    names = ("period_seconds", "instances", "always_on", "vcpus", "memory_gib", "gpu", "gpus", "tokens_cached")
    assert [getattr(found, name) for name in names] == [getattr(USE, name) for name in names]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"period_seconds": 0}, "period_seconds: Input should be greater than 0"),
        ({"request_seconds": [1, -1]}, r"request_seconds\.1: Input should be greater"),
        ({"instances": [{"starting": 1}]}, r"instances\.0\.life: Field required"),
        ({"format": 2}, "format: Input should be 1"),
        ({"vcpu": 2}, "vcpu: Extra inputs are not permitted"),
        ({"tokens_cached": 101}, "tokens_cached are a part of tokens_in"),
    ],
)
def test_a_fault_in_the_file_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    file = tmp_path / "use.json"
    write_consumption(USE, file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InvalidRequest, match=f"use.json: .*{said}"):
        read_consumption(file)


def test_a_file_that_is_no_json_or_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "use.json"
    with pytest.raises(InvalidRequest, match=r"use\.json cannot be read"):
        read_consumption(file)
    file.write_text("{")
    with pytest.raises(InvalidRequest, match=r"use\.json: the whole: Invalid JSON"):
        read_consumption(file)


def test_phases_longer_than_a_life_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="longer than its life"):
        InstanceSpan(1.0, starting=0.6, busy=0.6)
    with pytest.raises(InvalidRequest, match="shorter than nothing"):
        InstanceSpan(1.0, idle=-0.1)


@pytest.mark.parametrize("fields", [{"always_on": -1}, {"vcpus": -1}, {"request_seconds": [np.nan]}])
def test_impossible_uses_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Consumption(300, **fields)
