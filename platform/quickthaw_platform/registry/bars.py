"""Bars that a checkpoint must clear before calls go to it, such as `perplexity[hf,wikitext-2]<=20` (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quickthaw.results import CheckpointResult, Measured
from quickthaw_platform.errors import Conflict, InvalidRequest
from quickthaw_platform.registry.precision import precision_of, written

BAR_MISSED = "bar_missed"
"""The code of the error that refuses a deploy."""

_FORM = re.compile(
    r"^\s*(?P<metric>[A-Za-z0-9][\w.@-]*)\s*"
    r"(?:\[\s*(?P<protocol>[^\s,\[\]]+)\s*,\s*(?P<text>[^\s,\[\]]+)\s*\])?\s*"
    r"(?P<comparison><=|>=)\s*(?P<bound>\S+)\s*$"
)
_CONTINUATION = "continuation"


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must be at most or at least. Without protocol and text there must be one kind of result alone."""

    metric: str
    protocol: str | None
    text: str | None
    at_most: bool
    bound: float

    @classmethod
    def parse(cls, written: str) -> Bar:
        """Read a bar; InvalidRequest shows the form."""
        match = _FORM.match(written)
        try:
            bound = float(match["bound"]) if match else float("nan")
        except ValueError:
            bound = float("nan")
        if match is None or not abs(bound) < float("inf"):
            raise InvalidRequest(
                f"{written!r} is no bar; write METRIC[PROTOCOL,TEXT]<=NUMBER or >=, "
                "such as perplexity[hf,wikitext-2]<=20",
                param="require",
            )
        return cls(match["metric"], match["protocol"], match["text"], match["comparison"] == "<=", bound)

    def __str__(self) -> str:
        where = "" if self.protocol is None else f"[{self.protocol},{self.text}]"
        return f"{self.metric}{where}{'<=' if self.at_most else '>='}{self.bound:g}"

    def clears(self, figure: Measured) -> bool:
        """Say whether a figure is good enough; its interval does not count."""
        return figure.value <= self.bound if self.at_most else figure.value >= self.bound

    def concerns(self, result: CheckpointResult) -> bool:
        """Say whether a result has the figure that this is about, by the protocol and on the text named."""
        named = self.protocol is None or (self.protocol, self.text) == (result.protocol, result.text)
        return named and self.metric in result.metrics


@dataclass(frozen=True, slots=True)
class Served:
    """What is to be called: a checkpoint as an engine runs it."""

    model: str  # name of the checkpoint
    checkpoint: str  # its id
    engine: str
    adapter: str | None = None  # id of the adapter's checkpoint
    options: Mapping[str, Any] = field(default_factory=dict)  # the engine's; some change every figure

    def measured_by(self, result: CheckpointResult) -> bool:
        """Say whether a result is about the same weights in the same engine."""
        ours = (self.checkpoint, self.engine, self.adapter, precision_of(self.options))
        return ours == (result.checkpoint, result.engine, result.adapter, precision_of(result.options))


def check_bars(bars: Iterable[Bar], served: Served, results: Sequence[CheckpointResult]) -> None:
    """Raise Conflict, which says what to do, unless every bar is cleared by a result on the whole text."""
    ours = [result for result in results if served.measured_by(result)]
    for bar in bars:
        _check(bar, served, [result for result in ours if bar.concerns(result)])


def _check(bar: Bar, served: Served, found: Sequence[CheckpointResult]) -> None:
    whole = [result for result in found if result.whole]
    if not whole:
        part = ", only one on a part of the text" if found else ""
        raise _missed(
            f"{bar}: {served.model} has no such result in the engine {served.engine}{part}; {_remedy(bar, served)}"
        )
    titles = sorted({result.title for result in whole})
    if len(titles) > 1:
        choice = " or ".join(f"{bar.metric}[{title}]" for title in titles)
        raise InvalidRequest(f"{bar} could mean {choice}; figures of two protocols do not compare", param="require")
    latest = max(whole, key=lambda result: result.measured_at or 0.0)
    figure = latest.metrics[bar.metric]
    if not bar.clears(figure):
        raise _missed(
            f"{bar} is missed: {served.model} has {bar.metric} {figure.value:.6g} by {latest.protocol} on "
            f"{latest.text} in the engine {served.engine}; nothing was changed"
        )


def _remedy(bar: Bar, served: Served) -> str:
    options = "".join(f" --option {option}" for option in written(served.options))
    being = f", FILE being {bar.text}"
    if bar.protocol is None:
        quality = "" if "perplexity" in bar.metric or "bits" in bar.metric else " --quality --continuations 0"
        return f"`quickthaw validate {served.model}{quality}{options} --text FILE` measures one"
    name, _, settings = bar.protocol.partition("@")
    flags = ("prompt-words", "reference-words") if name == _CONTINUATION else ("window", "stride")
    how = "--quality --continuations 0" if name == _CONTINUATION else f"--protocol {name}"
    given = "".join(f" --{flag} {value}" for flag, value in zip(flags, settings.split("."), strict=False) if value)
    return f"`quickthaw validate {served.model} {how}{given}{options} --text FILE` measures it{being}"


def _missed(message: str) -> Conflict:
    return Conflict(message, code=BAR_MISSED, param="require")
