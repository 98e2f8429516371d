"""What runs `function.local(...)`: found by entry point, so that the SDK needs neither torch nor the platform."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from typing import Any

from quickthaw.errors import NotServable
from quickthaw.model import Model

GROUP = "quickthaw.runtime"
INSTALL = "pip install 'quickthaw[platform]'"

OpenModel = Callable[[str, str | None, Mapping[str, Any], str | None], AbstractContextManager[Model]]
"""(checkpoint name, engine or None for its own, engine options, name of a LoRA adapter or None) → the loaded model,
until the context ends.
"""


def open_model(
    model: str, engine: str | None, options: Mapping[str, Any], adapter: str | None = None
) -> AbstractContextManager[Model]:
    """Load a model in this process; NotServable says what to install where nothing here can."""
    return _local()(model, engine, options, adapter)


def _local() -> OpenModel:
    points = entry_points(group=GROUP, name="local")
    if not points:
        raise NotServable(f"nothing installed here can run models; .local() needs the platform: {INSTALL}")
    print(".local(): importing the platform", file=sys.stderr, flush=True)  # takes seconds, the first time many
    try:
        found: OpenModel = next(iter(points)).load()
    except ImportError as error:
        raise NotServable(f".local() needs the platform ({error}): {INSTALL}") from error
    return found
