"""Continuous batching of our own on models of Hugging Face transformers."""

from quickthaw_backends.engines.transformers_engine.engine import TransformersEngine

__all__ = ["TransformersEngine"]
