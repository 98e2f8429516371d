"""What the compiler finds of the machine it is on, and what is said where it can compile nothing."""

from __future__ import annotations

import llvmlite.binding as llvm
import pytest

from quickthaw_backends.engines.transformers_engine.compiled import compiling


def test_a_processor_without_fused_multiplication_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "features", lambda: {"sse2": True, "fma": False})
    assert compiling.why_not.__wrapped__() == "this processor does not multiply and add in one step"


def test_a_torch_with_another_library_of_threads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "features", lambda: {"fma": True})
    monkeypatch.setattr(compiling, "OPENMP", "libnotthere.so.1")
    monkeypatch.setattr(compiling, "openmp", compiling.openmp.__wrapped__)
    assert compiling.why_not.__wrapped__() == "torch does not compute with libnotthere.so.1"


def test_a_processor_that_llvm_knows_nothing_of_is_compiled_for_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("failed to get host cpu features")

    monkeypatch.setattr(llvm, "get_host_cpu_features", fail)
    assert compiling.features.__wrapped__() == {}
