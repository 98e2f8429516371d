"""vLLM, in the instance's own process."""

from quickthaw_backends.engines.vllm_engine.engine import VllmEngine

__all__ = ["VllmEngine"]
