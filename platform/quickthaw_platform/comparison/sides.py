"""What is compared: each side is a serving backend with what it is to serve. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quickthaw.errors import InvalidRequest
from quickthaw.types import FunctionSpec
from quickthaw_platform.comparison.recording import Backend

ENDPOINT = "endpoint"
BACKENDS = ("serverless", "serverful", "hybrid")
AGAIN = " (again)"
ALIAS_PREFIX = "compare-"


@dataclass(frozen=True, slots=True)
class EndpointSide:
    """An endpoint as the user names it."""

    url: str
    model: str
    command: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)  # further fields of each request
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Side:
    """One side. `name` is unique in a run; `spec` is of a function that the platform serves, else `endpoint` is set."""

    name: str
    backend: str
    spec: FunctionSpec | None = None
    endpoint: EndpointSide | None = None
    twin_of: str | None = None

    def recorded(self) -> Backend:
        """Return what the recording says of it."""
        always_on = 1 if self.spec is None else self.spec.replicas or 0
        note = ""
        if self.endpoint is not None:
            note = f"started by {self.endpoint.command!r}" if self.endpoint.command else "was there already"
        return Backend.model_validate(
            {
                "name": self.name,
                "kind": self.backend,
                "always_on": always_on,
                "url": self.endpoint.url if self.endpoint else None,
                "note": note,
                "twin_of": self.twin_of,
            }
        )


def sides(
    spec: FunctionSpec,
    backends: Sequence[str],
    endpoints: Mapping[str, EndpointSide],
    *,
    replicas: int = 1,
    max_instances: int | None = None,
    again: bool = False,
) -> list[Side]:
    """Return the sides of a comparison of `spec`: on each of `backends`, then each of `endpoints` by its name.

    `again`: the first side runs a second time under another name, an A/A pair whose difference is noise. Raises
    InvalidRequest where two sides would be the same, and for a backend that there is none of.
    """
    unknown = [name for name in backends if name not in BACKENDS]
    if unknown:
        raise InvalidRequest(
            f"no serving backend is called {unknown[0]!r}; known: {', '.join(BACKENDS)}", param="backends"
        )
    found = [Side(name, name, spec=served_by(spec, name, replicas, max_instances)) for name in backends]
    found += [Side(name, ENDPOINT, endpoint=endpoint) for name, endpoint in endpoints.items()]
    if not found:
        raise InvalidRequest("name at least one backend or endpoint to compare", param="backends")
    names = [side.name for side in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidRequest(
            f"two sides are called {twice!r}; give an endpoint another name, and each backend once (--again runs the "
            "first side twice)",
            param="backends",
        )
    if again:
        first = found[0]
        found.append(Side(first.name + AGAIN, first.backend, first.spec, first.endpoint, twin_of=first.name))
    return found


def served_by(spec: FunctionSpec, backend: str, replicas: int, max_instances: int | None) -> FunctionSpec:
    """Return the same function for another backend: only what says how many instances it has is changed."""
    most = spec.max_instances if max_instances is None else max_instances
    bounds: dict[str, dict[str, int | None]] = {
        "serverless": {"replicas": None, "min_instances": 0, "max_instances": most},
        "serverful": {"replicas": replicas, "min_instances": 0, "max_instances": replicas},
        "hybrid": {"replicas": replicas, "min_instances": 0, "max_instances": max(most, replicas + 1)},
    }
    return spec.model_copy(update={"backend": backend, **bounds.get(backend, {})})


def turns(names: Sequence[str], repeats: int, *, interleaved: bool) -> list[tuple[str, int]]:
    """Return (side, repeat) in the order of measuring.

    Interleaved, each repeat begins with another side, so that none is always the first on a cooled machine.
    """
    if not interleaved:
        return [(name, repeat) for name in names for repeat in range(repeats)]
    return [(names[(place + repeat) % len(names)], repeat) for repeat in range(repeats) for place in range(len(names))]
