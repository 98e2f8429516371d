"""Imported by a node's zygote: llama.cpp's library and all that templates of this engine import, loaded once."""

from __future__ import annotations

from quickthaw_backends.engines.llamacpp_engine import loaded
from quickthaw_backends.engines.llamacpp_engine.engine import LlamaCppEngine
from quickthaw_backends.engines.llamacpp_engine.library import api

__all__ = ["loaded"]

if LlamaCppEngine.missing() is None:
    api()
