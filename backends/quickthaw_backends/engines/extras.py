"""Whether the optional packages of an engine are installed."""

from __future__ import annotations

from importlib.util import find_spec


def missing_extra(extra: str, *modules: str) -> str | None:
    """Say which of these top-level modules are not installed and which extra of quickthaw brings them; None: all are.

    Imports none of them, so it costs little and is safe before a fork.
    """
    absent = [module for module in modules if find_spec(module) is None]
    if not absent:
        return None
    return f"it needs {' and '.join(absent)}, not installed here; run: pip install 'quickthaw[{extra}]'"
