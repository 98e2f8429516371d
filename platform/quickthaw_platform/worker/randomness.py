"""Random numbers after a fork: every instance begins with others than the process that it was forked from."""

from __future__ import annotations

import random
import sys


def seed_anew() -> None:
    """Seed from the system's entropy each global generator that a fork has copied, of what is imported already.

    Those that are made later seed themselves. `random` is seeded by Python at each fork, and here again, in case that
    somebody has replaced its generator. No tensor is computed with.
    """
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.accelerator.current_accelerator() is None:
        torch.default_generator.seed()  # all there is; torch.seed() reads source files to note who asked, some 4 ms
    else:
        torch.seed()
