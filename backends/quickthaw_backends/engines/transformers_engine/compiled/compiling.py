"""Code in LLVM's language, compiled for this processor, and run by the threads that torch computes with."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import torch

from quickthaw_backends.engines.transformers_engine.compiled.vector_code import BARRIER, THREAD_COUNT, THREAD_INDEX

OPENMP = "libgomp.so.1"


class Compiled(NamedTuple):
    """A function that has been compiled."""

    address: int
    keeps: object  # the memory that it is in

    def run_by_team(self, argument: ctypes.Structure) -> None:
        """Have as many threads as torch computes with here call it with the address of a structure."""
        openmp().GOMP_parallel(self.address, ctypes.addressof(argument), torch.get_num_threads(), 0)


@cache
def why_not() -> str | None:
    """Say why nothing can be compiled for this processor or for this torch; None: it can."""
    if not features().get("fma", True):
        return "this processor does not multiply and add in one step"
    try:
        openmp()
    except OSError:
        return f"torch does not compute with {OPENMP}"
    return None


def compile_code(code: str, entry: str) -> Compiled:
    """Return a function of a module. Forks of this process have it too.

    LLVM's optimisations of its own language are left out: they gain three hundredths, and take as long as all the rest.
    """
    return compile_for(code, entry, llvm.get_host_cpu_name(), features())


def compile_for(code: str, entry: str, processor: str, has: Mapping[str, bool]) -> Compiled:
    """Do so for a processor of this name and with these features."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in (THREAD_INDEX, THREAD_COUNT, BARRIER):
        llvm.add_symbol(name, ctypes.cast(getattr(openmp(), name), ctypes.c_void_p).value)
    module: Any = llvm.parse_assembly(code)
    flags = ",".join(f"{'+' if there else '-'}{name}" for name, there in has.items())
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=processor, features=flags, opt=2)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return Compiled(engine.get_function_address(entry), engine)


@cache
def features() -> Mapping[str, bool]:
    """Return what this processor has and has not, by LLVM's names; nothing of a kind of which LLVM cannot tell."""
    try:
        return dict(llvm.get_host_cpu_features())
    except RuntimeError:
        return {}


@cache
def openmp() -> ctypes.CDLL:
    """Return the OpenMP library that torch has loaded. Raises OSError where torch has another one."""
    library = ctypes.CDLL(OPENMP, os.RTLD_NOLOAD)
    library.GOMP_parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    library.GOMP_parallel.restype = None
    return library
