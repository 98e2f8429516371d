"""What the demonstration shows of its calls. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.table import Table

STAGES = (
    "queue", "tier", "template", "tokenizer", "skeleton", "weights", "fork", "handler", "engine", "arrival", "prefill"
)  # fmt: skip
"""In the order in which a cold start goes through them; a stage of another name comes last."""

BAR_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class DemoCall:
    """One call: `arrivals` has for each chunk the seconds since the request was sent, and its number of tokens."""

    label: str
    arrivals: Sequence[tuple[float, int]]
    stages: Mapping[str, float] = field(default_factory=dict)
    tier: str | None = None  # where the weights came from
    text: str = ""

    @property
    def first_token_seconds(self) -> float:
        """From sending the request to the first chunk."""
        return self.arrivals[0][0]

    @property
    def longest_gap_seconds(self) -> float:
        """The longest time between two chunks; 0 where there was only one."""
        times = [seconds for seconds, _ in self.arrivals]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)

    @property
    def tokens_per_second(self) -> float | None:
        """Of the tokens after the first chunk; None where there was only one chunk."""
        seconds = self.arrivals[-1][0] - self.arrivals[0][0]
        tokens = sum(count for _, count in self.arrivals[1:])
        return tokens / seconds if seconds > 0 else None


def calls_table(calls: Sequence[DemoCall]) -> Table:
    """Return the table of the calls."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("call")
    for title in ("first token, s", "tokens/s", "of that, cold start, s", "weights from"):
        table.add_column(title, justify="right")
    for call in calls:
        rate = call.tokens_per_second
        start = f"{sum(call.stages.values()):.3f}" if call.stages else "-"
        speed = "-" if rate is None else f"{rate:.1f}"
        table.add_row(call.label, f"{call.first_token_seconds:.3f}", speed, start, call.tier or "-")
    return table


def waterfall(call: DemoCall) -> Table:
    """Return the stages of a cold start, each as a bar that begins where the stage before it ended."""
    known = {name: call.stages[name] for name in STAGES if name in call.stages}
    stages = known | {name: seconds for name, seconds in call.stages.items() if name not in known}
    table = Table(box=None, title=f"{call.label}: the start", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    total = sum(stages.values())
    begin = 0.0
    for name, seconds in stages.items():
        table.add_row(name, f"{seconds:.3f} s", bar(begin, seconds, total))
        begin += seconds
    return table


def bar(begin: float, seconds: float, total: float) -> str:
    """Draw a stretch of a whole of `total` seconds; the shortest stretch is still visible."""
    scale = BAR_CHARACTERS / total if total > 0 else 0.0
    left = min(int(begin * scale), BAR_CHARACTERS - 1)
    return " " * left + "█" * max(1, round(seconds * scale))
