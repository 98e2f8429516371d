"""What trying one structure may take."""

from __future__ import annotations

MAX_SECONDS = 1
"""Of computing."""

MAX_MEMORY_BYTES = 1 << 30
"""Address space of the process."""
