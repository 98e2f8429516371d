"""ServeGen (Xiang et al., arXiv 2505.09999): a rate and a distribution of gaps for each client and window of time.

Columns: client, window_start_s, rate_rps, family (Gamma or Weibull), shape. They tell no tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gamma
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic.arrivals import Arrivals
from quickthaw_platform.traffic.columns import Floats, Ints
from quickthaw_platform.traffic.traces.files import rows, wrong

WINDOW_SECONDS = 600.0
"""A row tells of so long a time of one client."""

COLUMNS = ("client", "window_start_s", "rate_rps", "family", "shape")
Windows = dict[int, list["Window"]]


@dataclass(frozen=True, slots=True)
class Window:
    """How one client behaves for `WINDOW_SECONDS`."""

    client: int
    rate: float  # requests/s
    family: str
    shape: float

    def gaps(self, rng: np.random.Generator, count: int, scale: float) -> Floats:
        """Draw gaps of the family and shape, with the mean that the rate asks for."""
        drawn = rng.gamma(self.shape, 1.0, count) if self.family == "Gamma" else rng.weibull(self.shape, count)
        mean = self.shape if self.family == "Gamma" else gamma(1 + 1 / self.shape)
        return drawn / (mean * self.rate * scale)


def servegen(arrivals: Arrivals, functions: int | None, rng: np.random.Generator) -> Iterator[tuple[Floats, Ints]]:
    """Yield times and functions window by window; all windows come again after the last. None: one a client.

    Each client is a function. More functions than clients: each client stands for several, whose week begins at
    another window. Within a window a client's gaps are drawn from its distribution, scaled to its rate.
    """
    windows = read_windows(cast("Path", arrivals.path))
    clients = sorted({window.client for column in windows.values() for window in column})
    functions = len(clients) if functions is None else functions
    by_client: defaultdict[int, dict[int, Window]] = defaultdict(dict)
    for number, column in windows.items():
        for window in column:
            by_client[window.client][number] = window
    span = max(windows) + 1
    shifts = rng.integers(0, span, functions)
    shifts[: len(clients)] = 0
    scale = arrivals.speed * _factor(arrivals, windows, span, functions / len(clients))
    number = int((arrivals.offset or 0.0) // WINDOW_SECONDS)
    begin = 0.0
    while True:
        times, indices = [], []
        for function in range(functions):
            found = by_client[clients[function % len(clients)]].get((number + int(shifts[function])) % span)
            if found is not None:
                drawn = begin + _inside(found, rng, scale)
                times.append(drawn)
                indices.append(np.full(len(drawn), function))
        if times:
            yield merged(times, indices)
        number, begin = number + 1, begin + WINDOW_SECONDS


def read_windows(path: Path) -> Windows:
    """Read the windows by their number; SettingsInvalid names the file and the line that is wrong."""
    found: defaultdict[int, list[Window]] = defaultdict(list)
    for line, (client, start, rate, family, shape) in rows(path, "servegen", COLUMNS):
        try:
            window = _window(int(client), float(rate), family, float(shape))
            found[int(float(start) // WINDOW_SECONDS)].append(window)
        except (ValueError, OverflowError) as error:
            raise wrong(path, line, f"{error} (in {', '.join(COLUMNS)})") from error
    if not found:
        raise SettingsInvalid(f"the trace {path} has no window in it")
    return dict(found)


def merged(times: Sequence[Floats], functions: Sequence[NDArray[np.integer]]) -> tuple[Floats, Ints]:
    """Return several processes as one."""
    column = np.concatenate(times)
    order = np.argsort(column, kind="stable")
    return column[order], np.concatenate(functions)[order].astype(np.int64)


def _window(client: int, rate: float, family: str, shape: float) -> Window:
    if family not in ("Gamma", "Weibull"):
        raise ValueError(f"the family is {family!r}, neither Gamma nor Weibull")
    if not (0 < rate < float("inf") and 0 < shape < float("inf")):
        raise ValueError(f"rate {rate} and shape {shape} must be above 0")
    return Window(client, rate, family, shape)


def _factor(arrivals: Arrivals, windows: Windows, span: int, copies: float) -> float:
    if arrivals.rate is None:
        return 1.0
    return arrivals.rate / (copies * sum(window.rate for column in windows.values() for window in column) / span)


def _inside(window: Window, rng: np.random.Generator, scale: float) -> Floats:
    """Draw a renewal process; it begins at a random point of its first gap."""
    expected = int(window.rate * scale * WINDOW_SECONDS)
    gaps = window.gaps(rng, 8 + expected + expected // 4, scale)
    gaps[0] *= rng.random()
    times = np.cumsum(gaps)
    while times[-1] < WINDOW_SECONDS:
        times = np.concatenate([times, times[-1] + np.cumsum(window.gaps(rng, 8 + expected // 4, scale))])
    return times[times < WINDOW_SECONDS]
