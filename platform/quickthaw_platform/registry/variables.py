"""Environment variables that a function cannot set, since what reads them has done so before the function starts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from quickthaw_platform.errors import InvalidRequest

_NODE = "set it for the worker"
_READ_EARLY: tuple[tuple[str, str], ...] = (
    # threads of libraries that compute: read where they are loaded, before the fork
    (r"(OMP|GOMP|KMP|MKL|OPENBLAS|NUMEXPR|VECLIB|BLIS)_.*", "a node's setting `threads` says how many threads compute"),
    # Python's own, but for those that are applied (PYTHONPATH) or make no difference (PYTHONUNBUFFERED: nothing waits)
    (r"PYTHON(?!PATH$|UNBUFFERED$).*", "Python reads it where it starts; do the same in the function's code"),
    (r"(LD_|MALLOC_|GLIBC_).*", f"the dynamic loader reads it where the process starts; {_NODE}"),
    (r"(CUDA|NVIDIA)_.*|HIP_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES", "a node's worker chooses the device"),
    (r"PYTORCH_.*|TORCH_(?!HOME$).*", f"torch reads it where it is imported; {_NODE}"),
    (
        r"HF_(?!TOKEN$).*|HUGGINGFACE_HUB_CACHE|HUGGING_FACE_HUB_.*|TRANSFORMERS_.*",
        f"libraries read it where they are imported; pass `cache_dir` or the like in the code, or {_NODE}",
    ),
)


def check_variables(names: Iterable[str], param: str = "env") -> None:
    """Raise InvalidRequest for a variable that would have no effect, saying what has; docs/functions.md lists them."""
    for name in names:
        for pattern, instead in _READ_EARLY:
            if re.fullmatch(pattern, name):
                raise InvalidRequest(f"{name} has no effect in a function: {instead}", param=param)
