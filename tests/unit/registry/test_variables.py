"""Variables that a function cannot set, and those that it can."""

from __future__ import annotations

import pytest

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.registry.variables import check_variables


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("OMP_NUM_THREADS", "`threads`"),
        ("OPENBLAS_NUM_THREADS", "`threads`"),
        ("HF_HOME", "cache_dir"),
        ("TRANSFORMERS_CACHE", "cache_dir"),
        ("PYTHONHASHSEED", "where it starts"),
        ("LD_PRELOAD", "loader"),
        ("CUDA_VISIBLE_DEVICES", "chooses the device"),
        ("TORCH_LOGS", "imported"),
    ],
)
def test_a_variable_that_was_read_before_the_function_starts_is_refused(name: str, instead: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name} has no effect .*{instead}") as raised:
        check_variables(["A", name])
    assert raised.value.param == "env"


@pytest.mark.parametrize(
    "name",
    ["TZ", "TMPDIR", "PYTHONPATH", "PYTHONUNBUFFERED", "HF_TOKEN", "TORCH_HOME", "PATH", "TOKENIZERS_PARALLELISM"],
)
def test_a_variable_that_is_applied_or_read_when_it_is_needed_is_taken(name: str) -> None:
    check_variables([name])
