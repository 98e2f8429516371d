"""Which instance was given each beginning of a prompt last: what the scripts keep of a version in Redis, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MOST_BEGINNINGS = 1024
"""As in prelude.lua: so many are known, and as many before them; the older ones are forgotten together."""


class Served:
    """The latest beginnings of one version's prompts."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._before: dict[str, str] = {}

    def note(self, beginnings: Sequence[str], instance: str) -> None:
        """Note that an instance is given a prompt with these beginnings."""
        self._last.update(dict.fromkeys(beginnings, instance))
        if len(self._last) >= MOST_BEGINNINGS:
            self._last, self._before = {}, self._last

    def instances(self, beginnings: Sequence[str]) -> Iterator[str]:
        """Yield, in the order of the beginnings, the instance that was given each one last, where that is known."""
        for beginning in beginnings:
            found = self._last.get(beginning) or self._before.get(beginning)
            if found is not None:
                yield found
