"""Which instance was given each beginning of a prompt last: what the scripts keep of a version in Redis, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

PLACE_CHARACTERS = 2
"""As in prelude.lua: so many of a beginning's 8 are its place, of which there are 4,096. The latest takes it."""


class Served:
    """The beginnings of one version's prompts."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, str]] = {}

    def note(self, beginnings: Sequence[str], instance: str) -> None:
        """Note that an instance is given a prompt with these beginnings."""
        self._places.update({each[:PLACE_CHARACTERS]: (each, instance) for each in beginnings})

    def instances(self, beginnings: Sequence[str]) -> Iterator[str]:
        """Yield, in the order of the beginnings, the instance that was given each one last, where that is known."""
        for each in beginnings:
            known, instance = self._places.get(each[:PLACE_CHARACTERS], ("", ""))
            if known == each:
                yield instance
