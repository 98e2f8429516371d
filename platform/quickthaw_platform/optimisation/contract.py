"""What an optimiser is: it asks for scores and rewritten instructions, is told them, and asks again. Pure.

An optimiser decides from its seed and from what it was told, and from nothing else. So a stopped search is resumed by
running the optimiser again from its beginning on the answers that lie in the journal.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from quickthaw_platform.optimisation.candidate import Candidate

How = Literal["improve", "rephrase", "shorten", "combine"]
"""What a rewriting function is to do; `combine` takes two instructions, the others one."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that a candidate did not get full marks for; all three as text."""

    input: str
    expected: str
    answer: str


@dataclass(frozen=True, slots=True)
class Trial:
    """Asks for a candidate's scores on some examples of the development set. What was scored before costs nothing."""

    candidate: Candidate
    places: tuple[int, ...]  # in the development set


@dataclass(frozen=True, slots=True)
class Rewriting:
    """Asks a model for a new instruction. It costs a call."""

    how: How
    instructions: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    seed: int = 0  # of the model's sampling


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial came to, by place in the development set. Scores are from 0 to 1; a failed call scores 0."""

    scores: Mapping[int, float]
    answers: Mapping[int, str] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """The mean score."""
        return sum(self.scores.values()) / len(self.scores)

    def mean_of(self, places: Sequence[int]) -> float:
        """The mean score on some of the places."""
        return sum(self.scores[place] for place in places) / len(places)


Question = Trial | Rewriting
Reply = Outcome | str
"""An Outcome answers a Trial; a text answers a Rewriting, empty where the function failed or wrote nothing."""


@dataclass(frozen=True, slots=True)
class Space:
    """What a search may use."""

    start: Candidate
    train: int  # examples that a prompt can show
    dev: tuple[Failure, ...]  # inputs and expected answers, in order; `answer` is empty
    shots: int  # most examples that a prompt shows
    sentences: tuple[str, ...]  # to try in an instruction
    rewrites: bool  # whether a model can rewrite instructions


class Optimiser(Protocol):
    """Searches a Space. `ask` and `tell` take turns; not for several threads."""

    name: ClassVar[str]

    def __init__(self, space: Space, seed: int) -> None: ...

    @classmethod
    def missing(cls) -> str | None:
        """Say what has to be installed before it can run; None: nothing."""

    def ask(self) -> Sequence[Question]:
        """Return what is to be found out next, together; nothing when the search is over."""

    def tell(self, replies: Sequence[Reply]) -> None:
        """Take one reply for each question of the last `ask`, in order."""

    def close(self) -> None:
        """Let go of what the search holds. May come between `ask` and `tell`, when a budget is used up."""


Search = Generator[list[Question], list[Reply], None]
"""A search as a generator: yields questions, is sent replies."""


class Searching:
    """Makes an Optimiser of a generator."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._next: list[Question] | None = None

    @classmethod
    def missing(cls) -> str | None:
        """Return None: nothing has to be installed."""
        return None

    def ask(self) -> Sequence[Question]:
        """Return the questions that the search yields."""
        if self._next is None:
            self._next = next(self._search, [])
        return self._next

    def tell(self, replies: Sequence[Reply]) -> None:
        """Send the replies."""
        try:
            self._next = self._search.send(list(replies))
        except StopIteration:
            self._next = []

    def close(self) -> None:
        """End the generator."""
        self._search.close()


def outcomes(replies: Sequence[Reply]) -> list[Outcome]:
    """Return the replies to trials alone."""
    return [reply for reply in replies if isinstance(reply, Outcome)]
