"""What vLLM asks of a model's class before it makes an engine, known to a template and so to all of its forks.

vLLM asks another process, which imports vLLM anew and takes some nine seconds, so that its own does not touch a GPU; it
keeps the answer in a folder below the home, and each instance has a home of its own.
"""

from __future__ import annotations

from vllm.model_executor.models import ModelRegistry
from vllm.platforms import current_platform


def know_model_class(architecture: str) -> None:
    """Import the class where nothing can be touched by that, else have vLLM ask now. Of an unknown one do nothing."""
    known = ModelRegistry.models.get(architecture)
    if known is None:
        return
    if current_platform.is_cpu():
        del ModelRegistry.models[architecture]
        ModelRegistry.register_model(architecture, known.load_model_cls())
    else:
        ModelRegistry._try_inspect_model_cls(architecture)
