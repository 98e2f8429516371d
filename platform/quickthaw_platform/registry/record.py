"""What the registry keeps about one function besides its versions: a frozen record, changed by pure functions."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from quickthaw.resources import DEFAULT_ALIAS
from quickthaw_platform.errors import AliasNotFound, Conflict, InvalidRequest

Weights = Mapping[str, float]
"""Version id to share of the calls; the shares add up to 1."""

_T = TypeVar("_T")

HISTORY_LENGTH = 100
"""How many rollbacks in a row an alias remembers."""


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """A function: its aliases and what each pointed to before, oldest first."""

    name: str
    created_at: float
    next_number: int
    aliases: Mapping[str, Weights]
    history: Mapping[str, tuple[Weights, ...]]

    def pointing(self, alias: str, weights: Weights) -> FunctionRecord:
        """Return the record with `alias` pointing to `weights`; the former target becomes history."""
        former = self.aliases.get(alias)
        if former == weights:
            return self
        past = self.history.get(alias, ())
        if former is not None:
            past = (*past, former)[-HISTORY_LENGTH:]
        return replace(self, aliases={**self.aliases, alias: dict(weights)}, history={**self.history, alias: past})

    def rolled_back(self, alias: str) -> FunctionRecord:
        """Return the record with `alias` where it pointed before; Conflict when there is no before."""
        self.weights(alias)
        past = self.history.get(alias, ())
        if not past:
            raise Conflict(f"alias {alias!r} of {self.name!r} has no earlier version to go back to", param="alias")
        return replace(self, aliases={**self.aliases, alias: past[-1]}, history={**self.history, alias: past[:-1]})

    def without(self, alias: str) -> FunctionRecord:
        """Return the record without `alias`; Conflict for the default one, which every call needs."""
        self.weights(alias)
        if alias == DEFAULT_ALIAS:
            raise Conflict(f"alias {alias!r} cannot be removed; delete the function instead", param="alias")
        return replace(self, aliases=_less(self.aliases, alias), history=_less(self.history, alias))

    def weights(self, alias: str) -> Weights:
        """Return what `alias` points to; AliasNotFound lists the near ones."""
        if alias not in self.aliases:
            raise AliasNotFound.named(alias, self.aliases)
        return self.aliases[alias]

    def choose(self, alias: str, rng: random.Random) -> str:
        """Draw a version id of `alias` by its weights."""
        weights = self.weights(alias)
        if len(weights) == 1:
            return next(iter(weights))
        return rng.choices(list(weights), list(weights.values()))[0]

    def to_redis(self) -> dict[str, str]:
        """Return the fields of the function's hash."""
        return {
            "created_at": repr(self.created_at),
            "next_number": str(self.next_number),
            "aliases": json.dumps(self.aliases),
            "history": json.dumps(self.history),
        }

    @classmethod
    def from_redis(cls, name: str, fields: Mapping[str, str]) -> FunctionRecord:
        """Read the fields of the function's hash."""
        history = json.loads(fields["history"])
        return cls(
            name=name,
            created_at=float(fields["created_at"]),
            next_number=int(fields["next_number"]),
            aliases=json.loads(fields["aliases"]),
            history={alias: tuple(past) for alias, past in history.items()},
        )


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Scale weights to add up to 1, without those that are 0; InvalidRequest where nothing is left."""
    total = sum(weights.values())
    if not 0 < total < float("inf"):
        raise InvalidRequest("the weights of an alias must be finite and one of them above 0", param="weights")
    return {version: weight / total for version, weight in weights.items() if weight > 0}


def _less(mapping: Mapping[str, _T], key: str) -> dict[str, _T]:
    return {name: value for name, value in mapping.items() if name != key}
