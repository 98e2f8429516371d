"""Threats to validity, derived from the run: why its figures may not hold, or not elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.report import Header, Noise, PriceList, Row, Threat
from quickthaw_platform.comparison.steadiness import LEAST_REQUESTS
from quickthaw_platform.prices.offer import STALE_DAYS

USUAL_REPEATS = 5
MOST_WITHIN = 0.9
"""A backend with fewer of its requests within the objective does not meet it."""
MOST_ANSWERED = 0.99
KEEP_ALIVES = 10
"""A block that is shorter than so many keep-alives is mostly its own beginning and end."""


def threats(
    measuring: Measuring, header: Header, rows: Sequence[Row], noise: Noise | None, *, billed_as_gpu: bool,
    shared: str | None, in_part: Sequence[str],
) -> list[Threat]:  # fmt: skip
    """Return all threats, the worst first.

    `shared`: what is wrong with bills of requests that shared an instance. `in_part`: servers that hold several
    replicas.
    """
    found = [
        *_of_run(measuring, header, rows),
        *_of_backends(header, rows),
        *_of_statistics(header, rows, noise),
        *_of_prices(header.prices, in_part, billed_as_gpu=billed_as_gpu),
        *([Threat(weight="serious", title="Measured together, billed apart", text=shared)] if shared else []),
        *_of_reach(measuring, header),
    ]
    weights = ("fatal", "serious", "limit")
    return sorted(found, key=lambda threat: weights.index(threat.weight))


def _of_run(measuring: Measuring, header: Header, rows: Sequence[Row]) -> Iterator[Threat]:
    if not any(row.requests for row in rows):
        yield Threat(weight="fatal", title="Nothing was measured", text="No request was sent.")
    if header.invalid:
        yield Threat(weight="fatal", title="The run is invalid", text=" ".join(header.invalid))
    if header.interrupted:
        done = f"{header.repeats_done} of {header.repeats} repeats are whole."
        yield Threat(weight="serious", title="The run was interrupted", text=f"What was measured is shown; {done}")
    if measuring.recorded.missing:
        text = ". ".join(measuring.recorded.missing) + "."
        yield Threat(weight="serious", title="Parts of the record are missing", text=text)


def _of_backends(header: Header, rows: Sequence[Row]) -> Iterator[Threat]:
    for row in rows:
        if row.error is not None:
            fate = "could not be measured" if row.backend in header.not_measured else "died"
            text = f"{row.error}. It answered {row.answered} of {row.requests} requests; the other backends went on."
            yield Threat(weight="serious", title=f"{row.backend} {fate}", text=text)
        if 0 < row.answered < MOST_ANSWERED * row.requests:
            text = (
                f"{row.requests - row.answered:,} of its {row.requests:,} requests were not answered. Its cost per "
                "1,000 requests is of those that were sent: an answered one costs "
                f"{row.requests / row.answered:.3g} times that."
            )
            yield Threat(weight="serious", title=f"{row.backend} left requests unanswered", text=text)
        if row.steadiness.saturated:
            text = f"{row.steadiness.why} Its figures say how long the block was, and are hatched."
            yield Threat(weight="serious", title=f"{row.backend} was saturated", text=text)
        elif row.steadiness.steady is False:
            yield Threat(weight="serious", title=f"{row.backend} was not steady", text=row.steadiness.why)
    shares = [row.attainment.value for row in rows if row.attainment.value is not None]
    if len(shares) > 1 and max(shares) - min(shares) > 0.01:
        text = (
            f"Between {min(shares):.1%} and {max(shares):.1%} of the requests were within the objective: a cost per "
            "request compares like with like only where the table says that a backend is within it like the best."
        )
        yield Threat(weight="limit", title="Not all backends meet the objective alike", text=text)
    if shares and max(shares) < MOST_WITHIN:
        text = (
            f"At most {max(shares):.1%} of the requests of any backend were within the objective: none of them serves "
            "this traffic as was asked for, whatever it costs."
        )
        yield Threat(weight="serious", title="No backend meets the objective", text=text)


def _of_statistics(header: Header, rows: Sequence[Row], noise: Noise | None) -> Iterator[Threat]:
    short = [f"{row.backend} ({row.requests})" for row in rows if 0 < row.requests < LEAST_REQUESTS]
    if short:
        text = f"So few requests tell little, whatever their intervals: {', '.join(short)}. {LEAST_REQUESTS} are least."
        yield Threat(weight="serious", title="Few requests", text=text)
    if header.repeats_done < USUAL_REPEATS:
        text = (
            f"{header.repeats_done} whole repeats of each backend. Intervals hold for other traffic of this kind, and "
            f"for other runs only as far as so few can tell; {USUAL_REPEATS} are usual."
        )
        yield Threat(weight="serious", title="Few repeats", text=text)
    if noise is None and sum(row.requests > 0 for row in rows) > 1:
        text = "No backend was run twice (A/A), so differences are judged by their intervals alone."
        yield Threat(weight="limit", title="No noise floor", text=text)
    few = sorted({row.backend for row in rows for one in row.latencies if _too_few(one.p99) and one.which == "all"})
    if few:
        text = f"The 99th percentile of some latencies cannot be bounded for {', '.join(few)}: the table says so."
        yield Threat(weight="limit", title="Too few requests for the tail", text=text)


def _too_few(estimate: Estimate) -> bool:
    return estimate.needed is not None


def _of_prices(lists: Sequence[PriceList], in_part: Sequence[str], *, billed_as_gpu: bool) -> Iterator[Threat]:
    second_hand = [one.name for one in lists if one.second_hand]
    if second_hand:
        text = f"Not read at the source: {', '.join(second_hand)}. Check them before a decision rests on them."
        yield Threat(weight="serious", title="Prices are second-hand", text=text)
    old = [f"{one.name} ({one.date})" for one in lists if one.age_days is None or one.age_days > STALE_DAYS]
    if old:
        text = f"Older than {STALE_DAYS} days at the time of the run, or undated: {', '.join(old)}."
        yield Threat(weight="serious", title="Prices are old", text=text)
    if in_part:
        text = (
            f"A request, and the break-even rate, pay for a replica's share of a machine: {', '.join(in_part)}. Where "
            "nothing else runs on the rest of it, servers cost so many times as much, as the bills of a month say."
        )
        yield Threat(weight="serious", title="Servers are priced by shares", text=text)
    if billed_as_gpu:
        text = (
            "Device-seconds were measured on processors; by offers with a GPU each counts as a second of that GPU, "
            "which would have needed far fewer of them. Compare offers with each other, not with a GPU's true bill."
        )
        yield Threat(weight="serious", title="Billed as another device than measured", text=text)


def _of_reach(measuring: Measuring, header: Header) -> Iterator[Threat]:
    if header.arrivals.synthetic:
        text = f"The times of {header.arrivals.label} were made, and not read from a trace of real users."
        yield Threat(weight="limit", title="Synthetic arrivals", text=text)
    kept = header.instance.keep_alive
    if kept and measuring.seconds < KEEP_ALIVES * kept:
        text = f"A block lasted {measuring.seconds:.0f} s, and an idle instance is kept for {kept:.0f} s."
        yield Threat(weight="limit", title="Blocks are short beside the keep-alive", text=text)
    text = (
        "Everything ran on one machine, the load generator too: it and the backends shared processors and no network."
    )
    yield Threat(weight="limit", title="One machine", text=text)
    if measuring.recorded.simulated:
        text = "Points that are dashed come from a simulator which this run calibrated; nothing of them was measured."
        yield Threat(weight="limit", title="Simulated points", text=text)
    if any(backend.kind == "endpoint" for backend in header.backends):
        text = (
            "Endpoints are seen from outside: their device time is that of one server that always stands, and their "
            "answers may differ from those of the platform's engine."
        )
        yield Threat(weight="limit", title="Endpoints are not metered", text=text)
