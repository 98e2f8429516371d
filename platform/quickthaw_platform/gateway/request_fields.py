"""What becomes of each field of OpenAI's and Anthropic's requests: one table (request_fields.toml), enforced here.

No field is silently ignored: it is honoured, or it changes no answer, or the request is refused with the field's name.
"""

from __future__ import annotations

import difflib
import enum
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from quickthaw_platform.errors import InvalidRequest


class Treatment(enum.StrEnum):
    """What becomes of a field."""

    HONOURED = "honoured"  # it does what its name says
    HARMLESS = "harmless"  # taken, and it changes no answer
    REFUSED = "refused"  # 400, but for values that ask for nothing else than what is done


class Endpoint(enum.StrEnum):
    """Whose fields."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    RESPONSES = "responses"


@dataclass(frozen=True, slots=True)
class RequestField:
    """A field of a request."""

    name: str
    origin: str  # who defines it: OpenAI, vLLM, llama.cpp or Anthropic
    treatment: Treatment
    about: str  # what is done with it, or why it is refused
    passes: tuple[Any, ...] = ()  # of a refused one: the values that ask for nothing else than what is done

    def check(self, value: object) -> None:
        """Raise InvalidRequest for a value that would change the answer and is not served."""
        if self.treatment is not Treatment.REFUSED or value is None or any(map(_same(value), self.passes)):
            return
        only = f"; only {' or '.join(map(repr, self.passes))} is taken" if self.passes else ""
        raise InvalidRequest(f"{self.name} is not served: {self.about}{only}", param=self.name)


_SECTIONS: Mapping[str, Mapping[str, Any]] = tomllib.loads(
    files(__package__).joinpath("request_fields.toml").read_text()
)
"""Read when a gateway starts: no first call waits for that."""


@cache
def fields_of(endpoint: Endpoint) -> Mapping[str, RequestField]:
    """Return the fields of an endpoint by name."""
    shared = _SECTIONS["generation"] if endpoint in (Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.RESPONSES) else {}
    return {name: _field(name, entry) for name, entry in {**shared, **_SECTIONS[endpoint.value]}.items()}


def check_fields(endpoint: Endpoint, sent: Mapping[str, Any], arguments: Iterable[str]) -> None:
    """Raise InvalidRequest for a field that is refused, or that nobody knows: neither the table nor the handler, whose
    `arguments` take fields of their name whatever the table says. Null is as if it were not sent.
    """
    known, taken = fields_of(endpoint), set(arguments)
    for name, value in sent.items():
        if name in taken or value is None:
            continue
        if name not in known:
            raise InvalidRequest(_unknown(name, {*known, *taken}), param=name)
        known[name].check(value)


def _field(name: str, entry: Mapping[str, Any]) -> RequestField:
    return RequestField(name, entry["of"], Treatment(entry["is"]), entry["about"], tuple(entry.get("passes", ())))


def _same(value: object) -> Any:
    """Return a test of equality that tells true from 1."""
    return lambda other: value == other and isinstance(value, bool) == isinstance(other, bool)


def _unknown(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no field {name[:100]!r}, and the function's handler has no such argument{hint}"
