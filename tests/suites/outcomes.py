"""What became of a suite's tests: read from JUnit's XML, or from the lines of our own scripts. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args
from xml.etree import ElementTree

Verdict = Literal["passed", "failed", "skipped"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Case:
    """One test: what it is called, what became of it, and what it said where it did not pass."""

    name: str
    verdict: Verdict
    message: str = ""


def from_junit(text: str) -> list[Case]:
    """Read a JUnit file as pytest writes it; an error while a test is set up counts as a failure."""
    return [_case(element) for element in ElementTree.fromstring(text).iter("testcase")]


def from_lines(lines: Iterable[str]) -> list[Case]:
    """Read one JSON object a line with `name`, `verdict` and `message`; lines that are none are a client's own talk."""
    return list(_read(lines))


def counts(cases: Iterable[Case]) -> dict[Verdict, int]:
    """Return how many cases have each verdict."""
    found = [case.verdict for case in cases]
    return {verdict: found.count(verdict) for verdict in VERDICTS}


def _case(element: ElementTree.Element) -> Case:
    module = element.get("classname", "").removeprefix("tests.api_resources.")
    name = f"{module}.{element.get('name', '')}"
    broken = next((child for tag in ("failure", "error") for child in element.iter(tag)), None)
    if broken is not None:
        return Case(name, "failed", f"{broken.get('message', '')}\n{broken.text or ''}".strip())
    skipped = next(element.iter("skipped"), None)
    if skipped is not None:
        return Case(name, "skipped", skipped.get("message", ""))
    return Case(name, "passed")


def _read(lines: Iterable[str]) -> Iterator[Case]:
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("verdict") in VERDICTS:
            yield Case(str(found.get("name", "")), found["verdict"], str(found.get("message", "")))
