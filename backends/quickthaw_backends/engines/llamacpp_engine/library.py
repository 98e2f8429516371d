"""llama.cpp's library, called through its C API.

The wheel `xllamacpp` carries the whole of llama.cpp in one file that exports its C functions; it loads on Debian 12,
which several other wheels do not, and needs no compiler. The structures that cross the API change from build to build,
so exactly one build is taken, the one whose declarations `llama.h` holds.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quickthaw_platform.errors import StartFailed

PACKAGE = "xllamacpp"
BUILD = "2026.10.11549"

_ERROR_LEVEL = 4
_DEFAULT_BATCH, _DEFAULT_UBATCH = 2048, 512
_log = logging.getLogger(__name__)
_last_errors: list[str] = []
_kept: list[Any] = []  # what the library holds pointers to


def missing_build() -> str | None:
    """Say why the installed build cannot be used and how to get the right one; None: it can, or there is none."""
    try:
        found = version(PACKAGE)
    except PackageNotFoundError:
        return None
    if found == BUILD:
        return None
    return f"it is made for {PACKAGE} {BUILD} and {found} is installed; run: pip install '{PACKAGE}=={BUILD}'"


def last_error() -> str:
    """Return what the library last complained of, and forget it."""
    said = " ".join(" ".join(_last_errors).split())
    _last_errors.clear()
    return said or "llama.cpp gave no reason"


@cache
def api() -> tuple[Any, Any]:
    """Return cffi's two objects, `ffi` and the library. Raises StartFailed for another build. Starts no thread."""
    from cffi import FFI

    if (wrong := missing_build()) is not None:
        raise StartFailed(wrong)
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise StartFailed(f"the package {PACKAGE} is not installed; run: pip install 'quickthaw[llamacpp]'")
    ffi = FFI()
    ffi.cdef((Path(__file__).parent / "llama.h").read_text())
    file = next(Path(spec.origin).parent.glob(f"{PACKAGE}*.so"))
    library = ffi.dlopen(str(file))
    defaults = library.llama_context_default_params()
    if (defaults.n_batch, defaults.n_ubatch) != (_DEFAULT_BATCH, _DEFAULT_UBATCH):
        raise StartFailed(f"{file} does not have the structures of build {BUILD}; install {PACKAGE}=={BUILD} anew")
    callback = ffi.callback("ggml_log_callback", _hear(ffi))
    _kept.append(callback)
    library.llama_log_set(callback, ffi.NULL)
    library.llama_backend_init()
    return ffi, library


def _hear(ffi: Any) -> Any:
    def hear(level: int, text: Any, _data: Any) -> None:
        if level >= _ERROR_LEVEL:
            said = ffi.string(text).decode(errors="replace")
            _last_errors.append(said)
            del _last_errors[:-8]
            _log.debug(said.strip())

    return hear
