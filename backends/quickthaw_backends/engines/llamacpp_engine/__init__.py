"""The engine that runs GGUF files with llama.cpp, thawed by a fork."""

from quickthaw_backends.engines.llamacpp_engine.engine import LlamaCppEngine

__all__ = ["LlamaCppEngine"]
