"""What is written into the files of a group."""

from __future__ import annotations

import pytest

from quickthaw_platform.control_groups.delegation import WANTED
from quickthaw_platform.control_groups.limits import KERNEL_BYTES, Limits, files_of, memory_of, ran_out_of_memory

LIMITS = Limits(1 << 30, 560, 2.5)


def test_each_controller_bounds_what_it_can() -> None:
    assert files_of(LIMITS, WANTED) == {
        "memory.oom.group": "1", "memory.swap.max": "0", "pids.max": "560", "cpu.weight": "250",
    }  # fmt: skip


def test_what_no_controller_bounds_is_not_written() -> None:
    assert files_of(LIMITS, ("pids",)) == {"pids.max": "560"}
    assert files_of(LIMITS, ()) == {}


@pytest.mark.parametrize(("weight", "written"), [(1.0, "100"), (0.0001, "1"), (1000.0, "10000"), (0.25, "25")])
def test_a_weight_becomes_one_that_the_kernel_takes(weight: float, written: str) -> None:
    assert files_of(Limits(None, 1, weight), ("cpu",)) == {"cpu.weight": written}


def test_mapped_weights_count_by_what_the_kernel_keeps_of_them_only() -> None:
    little = memory_of(function_bytes=5, scratch_bytes=4, stacks_bytes=3, weights_bytes=0, adapter_bytes=2)
    assert little == KERNEL_BYTES + 14
    large = memory_of(function_bytes=5, scratch_bytes=4, stacks_bytes=3, weights_bytes=16 << 30, adapter_bytes=2)
    assert large - little == 32 << 20


@pytest.mark.parametrize(
    ("events", "killed"),
    [
        pytest.param("low 0\nhigh 0\nmax 31\noom 1\noom_kill 3\noom_group_kill 1\n", True, id="killed"),
        pytest.param("low 0\nhigh 0\nmax 31\noom 0\noom_kill 0\noom_group_kill 0\n", False, id="pages were given up"),
        pytest.param("", False, id="nothing is known"),
    ],
)
def test_only_kills_are_the_end_of_memory(events: str, killed: bool) -> None:
    assert ran_out_of_memory(events) is killed
