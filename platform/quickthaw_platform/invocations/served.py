"""Which instance was given each beginning of a prompt last: what the scripts keep of a version in Redis, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MOST_BEGINNINGS = 4
PLACE_CHARACTERS = 2
"""So many of a beginning's 8 are its place, of which there are 4,096. The latest takes it."""


def written(beginnings: Sequence[str]) -> str:
    """Return how the scripts take them: four, one after the other; fewer are filled up with the last. '': none."""
    return "".join(beginnings) + "".join(beginnings[-1:]) * (MOST_BEGINNINGS - len(beginnings))


class Served:
    """The beginnings of one version's prompts."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[Sequence[str], str]] = {}

    def note(self, beginnings: Sequence[str], instance: str) -> None:
        """Note that an instance is given a prompt with these beginnings."""
        self._places.update({each[:PLACE_CHARACTERS]: (beginnings, instance) for each in beginnings})

    def instances(self, beginnings: Sequence[str]) -> Iterator[str]:
        """Yield, in the order of the beginnings, the instance that was given each one last, where that is known."""
        for each in beginnings:
            known, instance = self._places.get(each[:PLACE_CHARACTERS], ((), ""))
            if each in known:
                yield instance
