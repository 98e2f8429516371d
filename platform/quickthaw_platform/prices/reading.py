"""Reads price files; what is wrong in one is named with its file and line, and all of it at once."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.prices.lines import line_of
from quickthaw_platform.prices.offer import KINDS, Offer

RATES_FILE = "rates.toml"
TOKENS_FILE = "tokens.toml"
DATA = resources.files("quickthaw_platform.prices") / "data"
"""The built-in price files."""

Tables = dict[str, Any]
"""Parsed TOML: what the values are is for the models to say."""
Parsed = TypeVar("Parsed", bound=BaseModel)

_MERGED = ("prices", "always_on_prices", "free")
"""Tables of an offer that are merged key by key with those under [shared]; all else of an offer replaces it."""
_TOP = ("provider", "about", "shared", "offers")
_IN_TOML = re.compile(r"\(at line (\d+)")


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong in a price file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class PricesInvalid(SettingsInvalid):
    """Price files that cannot be used; `problems` has each fault, the message all of them."""

    default_code = "prices_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class Placed:
    """An offer, and where it is written."""

    offer: Offer
    file: str
    line: int


def parse_toml(text: str, file: str) -> Tables:
    """Parse TOML; PricesInvalid names the line where it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _IN_TOML.search(str(error))
        raise PricesInvalid([Problem(file, int(place[1]) if place else 1, f"not valid TOML: {error}")]) from error


def read_text(file: Path) -> str:
    """Read a file of the user's; PricesInvalid where that cannot be done."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PricesInvalid([Problem(str(file), 1, f"cannot be read: {error}")]) from error


def read_offers(text: str, file: str) -> list[Placed]:
    """Read the offers of one provider's file; PricesInvalid has everything that is wrong in it."""
    tables = parse_toml(text, file)
    problems = _top_problems(tables, text, file)
    shared, offers = tables.get("shared", {}), tables.get("offers", [])
    found: list[Placed] = []
    if not problems:
        common = {"provider": tables["provider"]} | shared
        for index, own in enumerate(offers):
            offer, wrong = _offer(common, own, index, text, file)
            problems += wrong
            if offer is not None:
                found.append(Placed(offer, file, line_of(text, ("offers", index, "id"))))
    problems += duplicates(found)
    if problems:
        raise PricesInvalid(problems)
    return found


def duplicates(found: Sequence[Placed]) -> list[Problem]:
    """Return a problem for each offer whose id an earlier one has."""
    first: dict[str, Placed] = {}
    problems = []
    for placed in found:
        earlier = first.setdefault(placed.offer.id, placed)
        if earlier is not placed:
            where = f"{earlier.file}:{earlier.line}"
            problems.append(Problem(placed.file, placed.line, f"the id {placed.offer.id!r} is taken: see {where}"))
    return problems


def read_model(kind: type[Parsed], text: str, file: str) -> Parsed:
    """Read a file that is one model; PricesInvalid has everything that is wrong in it."""
    tables = parse_toml(text, file)
    try:
        return kind.model_validate(tables)
    except ValidationError as error:
        problems = []
        for details in error.errors():
            path = details["loc"]
            message = said(path, str(details["msg"]), details["type"], kind)
            problems.append(Problem(file, line_of(text, path), message))
        raise PricesInvalid(problems) from error


def _top_problems(tables: Tables, text: str, file: str) -> list[Problem]:
    problems = [
        Problem(file, line_of(text, (key,)), f"unknown field `{key}`; a price file has {', '.join(_TOP)}")
        for key in tables
        if key not in _TOP
    ]
    if not isinstance(tables.get("provider"), str):
        problems.append(Problem(file, 1, "lacks `provider`, the name of who offers this"))
    offers = tables.get("offers")
    if not isinstance(offers, list) or not all(isinstance(offer, dict) for offer in offers):
        problems.append(Problem(file, 1, "has no [[offers]]"))
    if not isinstance(tables.get("shared", {}), dict):
        problems.append(Problem(file, line_of(text, ("shared",)), "`shared` must be a table"))
    return problems


def _offer(
    shared: Tables, own: Tables, index: int, text: str, file: str
) -> tuple[Offer | None, list[Problem]]:  # fmt: skip
    tables = _merged(shared, own)
    kind = KINDS.get(str(tables.get("kind")))
    if kind is None:
        line = line_of(text, ("offers", index, "kind"))
        known = ", ".join(KINDS)
        return None, [Problem(file, line, f"`kind` must be one of {known}, not {tables.get('kind')!r}")]
    try:
        return kind.model_validate(tables), []
    except ValidationError as error:
        name = str(own.get("id", f"number {index + 1}"))
        problems = []
        for details in error.errors():
            path = details["loc"]
            home = _home(shared, own, path, index)
            whose = "shared" if home == ("shared",) else f"offer {name}"
            message = said(path, str(details["msg"]), details["type"], kind)
            problems.append(Problem(file, line_of(text, (*home, *path)), f"{whose}: {message}"))
        return None, problems


def _merged(shared: Tables, own: Tables) -> Tables:
    merged = shared | own
    for name in _MERGED:
        both = (shared.get(name), own.get(name))
        if all(isinstance(tables, dict) for tables in both):
            merged[name] = shared[name] | own[name]
    return merged


def _home(shared: Tables, own: Tables, path: tuple[str | int, ...], index: int) -> tuple[str | int, ...]:
    """Return where a field of an offer is written: under [shared] if only that has it, else under the offer."""
    mine: tuple[str | int, ...] = ("offers", index)
    if not path:
        return mine
    first, second = str(path[0]), path[1] if len(path) > 1 else None
    if first not in own:
        return ("shared",) if first in shared else mine
    tables = (own[first], shared.get(first))
    if first not in _MERGED or not all(isinstance(table, dict) for table in tables):
        return mine
    return ("shared",) if second not in own[first] and second in shared[first] else mine


def said(path: Sequence[str | int], message: str, kind: str, model: type[BaseModel]) -> str:
    """Say in plain words what pydantic found."""
    name = str(path[-1]) if path else ""
    around = ".".join(map(str, path[:-1]))
    if kind == "missing":
        return f"{around or 'it'} lacks `{name}`"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, _fields(model), n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        return f"unknown field `{'.'.join(map(str, path))}`{hint}"
    whole = ".".join(map(str, path))
    text = message.removeprefix("Value error, ")
    return f"{whole}: {text}" if whole else text


def _fields(model: type[BaseModel]) -> set[str]:
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                names |= _fields(inner)
    return names
