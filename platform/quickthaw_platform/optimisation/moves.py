"""Changes of a candidate that need no model: of the sentences of its instruction, and of the examples it shows. Pure.

Each takes a draw of chance and returns the changed candidate with the names of what was done, or None where there is
nothing to do: no sentence to delete, no further example to show.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.contract import Space
from quickthaw_platform.optimisation.credit import Credit
from quickthaw_platform.optimisation.sentences import joined, sentences

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Child:
    """A changed candidate, what it came from, and what was done, for the credit of it."""

    candidate: Candidate
    parent: Candidate
    done: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance and experience have to say."""

    space: Space
    rng: random.Random
    credit: Credit


Move = Callable[[Candidate, Draw], tuple[Candidate, Hashable] | None]
Changed = tuple[Candidate, Hashable] | None


def insert_sentence(one: Candidate, draw: Draw) -> Changed:
    """Put a sentence of the space somewhere into the instruction."""
    parts = sentences(one.instruction)
    new = [sentence for sentence in draw.space.sentences if sentence not in parts]
    if not new:
        return None
    chosen = draw.credit.draw(draw.rng, new, "insert")
    at = draw.rng.randint(0, len(parts))
    return replace(one, instruction=joined([*parts[:at], chosen, *parts[at:]])), ("insert", chosen)


def delete_sentence(one: Candidate, draw: Draw) -> Changed:
    """Leave a sentence out; the last one stays."""
    parts = sentences(one.instruction)
    if len(parts) < 2:
        return None
    chosen = draw.credit.draw(draw.rng, parts, "delete")
    kept = [part for part in parts if part != chosen]
    return (replace(one, instruction=joined(kept)), ("delete", chosen)) if kept else None


def swap_sentences(one: Candidate, draw: Draw) -> Changed:
    """Change the places of two sentences."""
    parts = sentences(one.instruction)
    if len(parts) < 2:
        return None
    return replace(one, instruction=joined(_swapped(parts, draw.rng))), "swap"


def show_example(one: Candidate, draw: Draw) -> Changed:
    """Show one more example."""
    new = [place for place in range(draw.space.train) if place not in one.shown]
    if not new or len(one.shown) >= draw.space.shots:
        return None
    chosen = draw.credit.draw(draw.rng, new, "show")
    at = draw.rng.randint(0, len(one.shown))
    return replace(one, shown=(*one.shown[:at], chosen, *one.shown[at:])), ("show", chosen)


def hide_example(one: Candidate, draw: Draw) -> Changed:
    """Show one example less."""
    if not one.shown:
        return None
    chosen = draw.credit.draw(draw.rng, one.shown, "hide")
    return replace(one, shown=tuple(place for place in one.shown if place != chosen)), ("hide", chosen)


def exchange_example(one: Candidate, draw: Draw) -> Changed:
    """Show another example in the place of one."""
    new = [place for place in range(draw.space.train) if place not in one.shown]
    if not new or not one.shown:
        return None
    chosen = draw.credit.draw(draw.rng, new, "show")
    at = draw.rng.randrange(len(one.shown))
    return replace(one, shown=(*one.shown[:at], chosen, *one.shown[at + 1 :])), ("show", chosen)


def reorder_examples(one: Candidate, draw: Draw) -> Changed:
    """Change the places of two examples."""
    if len(one.shown) < 2:
        return None
    return replace(one, shown=tuple(_swapped(one.shown, draw.rng))), "reorder"


MOVES: dict[str, Move] = {
    "insert": insert_sentence, "delete": delete_sentence, "swap": swap_sentences,
    "show": show_example, "hide": hide_example, "exchange": exchange_example, "reorder": reorder_examples,
}  # fmt: skip


def moved(one: Candidate, draw: Draw) -> Child | None:
    """Make a random move, those that have paid off before rather than others."""
    name = draw.credit.draw(draw.rng, list(MOVES), "move")
    found = MOVES[name](one, draw)
    return None if found is None else Child(found[0], one, (("move", name), found[1]))


def crossed(one: Candidate, other: Candidate, draw: Draw) -> Child:
    """Cross two candidates: sentences of either, first those of the first, and examples of one or both."""
    first, second = sentences(one.instruction), sentences(other.instruction)
    kept = [part for part in first if part in second or draw.rng.random() < 0.7]
    kept += [part for part in second if part not in first and draw.rng.random() < 0.5]
    shown = draw.rng.choice([one.shown, other.shown, _merged(one.shown, other.shown, draw.space.shots)])
    return Child(Candidate(joined(kept or first), shown), one, (("move", "cross"),))


def _merged(first: Sequence[int], second: Sequence[int], most: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys([*first, *second]))[:most]


def _swapped(parts: Sequence[T], rng: random.Random) -> list[T]:
    first, second = rng.sample(range(len(parts)), 2)
    copy = list(parts)
    copy[first], copy[second] = copy[second], copy[first]
    return copy
