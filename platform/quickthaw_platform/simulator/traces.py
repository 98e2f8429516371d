"""Public traces of calls to language models, read into columns."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import gamma
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.simulator.scenario import Arrivals

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_T = TypeVar("_T")

WINDOW_SECONDS = 600.0
"""A row of a ServeGen file tells of so long a time of one client."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Calls in order of time, the first at 0."""

    times: Floats
    tokens_in: Ints
    tokens_out: Ints


@dataclass(frozen=True, slots=True)
class _Window:
    client: int
    rate: float
    family: str
    shape: float

    def gaps(self, rng: np.random.Generator, count: int, scale: float) -> Floats:
        """Draw gaps of the family and shape, with the mean that the rate asks for."""
        drawn = rng.gamma(self.shape, 1.0, count) if self.family == "Gamma" else rng.weibull(self.shape, count)
        mean = self.shape if self.family == "Gamma" else gamma(1 + 1 / self.shape)
        return drawn / (mean * self.rate * scale)


def read(arrivals: Arrivals) -> Trace:
    """Read a whole trace. SettingsInvalid names the file where it cannot be read or is of another kind."""
    rows = _read(arrivals, _azure_rows if arrivals.kind == "azure" else _mooncake_rows)
    if len(rows) < 2:
        raise SettingsInvalid(f"{arrivals.path} has fewer than two calls")
    rows.sort(key=lambda row: row[0])
    times = np.array([row[0] for row in rows])
    return Trace(times - times[0], np.array([row[1] for row in rows]), np.array([row[2] for row in rows]))


def servegen(arrivals: Arrivals, functions: int, rng: np.random.Generator) -> Iterator[tuple[Floats, Ints]]:
    """Yield the calls window by window; each client is a function, and all windows come again after the last.

    More functions than clients: each client stands for several, whose week begins at another window. Within a window
    a client's gaps are drawn from its distribution (ServeGen, arXiv 2505.09999), scaled to its rate.
    """
    windows = _read(arrivals, _servegen_windows)
    clients = sorted({window.client for column in windows.values() for window in column})
    by_client: defaultdict[int, dict[int, _Window]] = defaultdict(dict)
    for number, column in windows.items():
        for window in column:
            by_client[window.client][number] = window
    span = max(windows) + 1
    shifts = rng.integers(0, span, functions)
    shifts[: len(clients)] = 0
    scale = arrivals.rate_scale * _speed(arrivals, windows, span, functions / len(clients))
    number = int(arrivals.window // WINDOW_SECONDS)
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


def merged(times: Sequence[Floats], functions: Sequence[NDArray[np.integer]]) -> tuple[Floats, Ints]:
    """Return several processes as one."""
    column = np.concatenate(times)
    order = np.argsort(column, kind="stable")
    return column[order], np.concatenate(functions)[order].astype(np.int64)


def _speed(arrivals: Arrivals, windows: dict[int, list[_Window]], span: int, copies: float) -> float:
    if arrivals.rate is None:
        return 1.0
    return arrivals.rate / (copies * sum(window.rate for column in windows.values() for window in column) / span)


def _inside(window: _Window, rng: np.random.Generator, scale: float) -> Floats:
    """Draw a renewal process; it begins at a random point of its first gap."""
    expected = int(window.rate * scale * WINDOW_SECONDS)
    gaps = window.gaps(rng, 8 + expected + expected // 4, scale)
    gaps[0] *= rng.random()
    times = np.cumsum(gaps)
    while times[-1] < WINDOW_SECONDS:
        times = np.concatenate([times, times[-1] + np.cumsum(window.gaps(rng, 8 + expected // 4, scale))])
    return times[times < WINDOW_SECONDS]


def _read(arrivals: Arrivals, rows: Callable[[Iterator[str]], _T]) -> _T:
    path = cast("Path", arrivals.path)
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            return rows(iter(file))
    except OSError as error:
        raise SettingsInvalid(f"the trace {path} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsInvalid(f"{path} is not a trace of kind {arrivals.kind!r}: {error!r}") from error


def _azure_rows(lines: Iterator[str]) -> list[tuple[float, int, int]]:
    return [
        (_timestamp(row["TIMESTAMP"]), int(row["ContextTokens"]), int(row["GeneratedTokens"]))
        for row in csv.DictReader(lines)
    ]


def _timestamp(text: str) -> float:
    """Read a time with seven digits after the point, of which datetime takes six."""
    whole, _, part = text.partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{part or 0}")


def _mooncake_rows(lines: Iterator[str]) -> list[tuple[float, int, int]]:
    rows = [json.loads(line) for line in lines if line.strip()]
    return [(row["timestamp"] / 1000, int(row["input_length"]), int(row["output_length"])) for row in rows]


def _servegen_windows(lines: Iterator[str]) -> dict[int, list[_Window]]:
    found: defaultdict[int, list[_Window]] = defaultdict(list)
    for row in csv.DictReader(lines):
        window = _Window(int(row["client"]), float(row["rate_rps"]), row["family"], float(row["shape"]))
        if window.family not in ("Gamma", "Weibull"):
            raise ValueError(f"family {window.family}")
        found[int(float(row["window_start_s"]) // WINDOW_SECONDS)].append(window)
    if not found:
        raise ValueError("no window")
    return dict(found)
