"""Python's search for garbage in the processes that live long: rarely, and not in what was there at their start."""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 20, 50)
"""Of gc.set_threshold: objects that are made and kept between two looks at the young ones, and how many of these looks
there are between two at older ones. Python's own (700, 10, 10) have a process at work look at all it has, modules
included, several times a minute: tens of milliseconds, in which nothing of it moves.
"""


def started() -> None:
    """Leave all that there is now out of the search from here on; a process calls it once it has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
