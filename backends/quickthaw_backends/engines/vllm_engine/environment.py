"""What vLLM is told by variables."""

from __future__ import annotations

import os

_VARIABLES = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the scheduler in this process: nothing outlives the instance
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # instances share cores; vLLM would pin each one's threads to the same
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "HF_HUB_OFFLINE": "1",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",  # code for so many shapes of products; 1,024 take hundreds of MiB
}


def set_environment() -> None:
    """Tell vLLM how to run here, where a function does not say otherwise.

    vLLM reads some of it when it is imported and some when an engine is made, and an instance's environment is its own
    and not its template's: so it is set before either.
    """
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
