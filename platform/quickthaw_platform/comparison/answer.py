"""The answer in one sentence, composed from the figures: honest where there is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.exhibits import BreakEven
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.numbers import interval, money, plain
from quickthaw_platform.comparison.offers import Pair
from quickthaw_platform.comparison.report import Answer, Cost, Difference, Header, Row
from quickthaw_platform.comparison.steadiness import LEAST_REQUESTS
from quickthaw_platform.comparison.using import used


def answer(
    measuring: Measuring, header: Header, rows: Sequence[Row], pair: Pair | None,
    break_even: BreakEven | None, differences: Sequence[Difference],
) -> Answer:  # fmt: skip
    """Return the sentence with its range of validity.

    It is that of the first serverless backend and the first serverful one, or the first endpoint where there is none.
    """
    calls, servers = _first(rows, "serverless"), _servers(rows)
    ratio = Estimate() if None in (calls, servers, pair) else _ratio(measuring, calls, servers, pair)
    crossing = Estimate() if break_even is None else break_even.crossing
    sentence = _qualified(header, rows, _sentence(measuring, header, rows, pair, break_even, ratio, differences))
    return Answer(
        sentence=sentence, holds_for=_holds_for(measuring, header), says_nothing_of=_says_nothing_of(header),
        offer="" if pair is None else pair.title, ratio=ratio, break_even=crossing,
    )  # fmt: skip


def _first(rows: Sequence[Row], kind: str) -> Row | None:
    return next((row for row in rows if row.kind == kind and row.requests), None)


def _servers(rows: Sequence[Row]) -> Row | None:
    return _first(rows, "serverful") or _first(rows, "endpoint")


def _cost(row: Row, offer: str) -> Cost | None:
    return next((cost for cost in row.costs if cost.offer == offer), None)


def _ratio(measuring: Measuring, calls: Row | None, servers: Row | None, pair: Pair | None) -> Estimate:
    """Return what a request costs on calls by what it costs on servers; both are resampled by the same windows."""
    assert calls is not None
    assert servers is not None
    assert pair is not None
    one, two = _cost(calls, pair.calls.offer.id), _cost(servers, pair.servers.offer.id)
    first, second = used(measuring, calls.backend), used(measuring, servers.backend)
    if one is None or two is None or first is None or second is None:
        return Estimate()
    above, below = one.per_thousand_requests.value, two.per_thousand_requests.value
    if above is None or not below:
        return Estimate()
    relative = (
        first.replicates / second.replicates * (second.seconds / second.requests) * first.requests / first.seconds
    )
    return measuring.resampling.estimate(above / below, above / below * relative, calls.requests, (0.0, np.inf))


def _sentence(
    measuring: Measuring, header: Header, rows: Sequence[Row], pair: Pair | None, break_even: BreakEven | None,
    ratio: Estimate, differences: Sequence[Difference],
) -> str:  # fmt: skip
    measured = [row for row in rows if row.requests]
    if not measured:
        return "Nothing was measured: no request was sent."
    calls, servers = _first(rows, "serverless"), _servers(rows)
    at = f"At {plain(measuring.rate)} requests/s{_burstiness(header)}"
    if len(measured) == 1:
        only = measured[0]
        return f"Only {only.backend} was measured, so nothing is compared: {_meets(only)}, {at[0].lower()}{at[1:]}."
    if calls is None or servers is None:
        return f"{at}, {'; '.join(f'{row.backend} {_meets(row)}' for row in measured)}."
    slo = f"{_meets(calls)} against {_share(servers)}"
    if pair is None or ratio.value is None:
        return f"{at}, {calls.backend} {slo} of {servers.backend}; no price list in use tells what both cost."
    costs = _costs(calls, servers, ratio, differences)
    prices = f"{pair.title}{_months(calls, servers, pair)}"
    return f"{at}, {calls.backend} {costs} ({prices}) and {slo}; {_crossing(break_even)}."


def _months(calls: Row, servers: Row, pair: Pair) -> str:
    """Say what both cost in a month: bills are of whole machines, of which a replica's request pays for a share."""
    found = [_cost(calls, pair.calls.offer.id), _cost(servers, pair.servers.offer.id)]
    one, two = (None if cost is None else cost.per_month.value for cost in found)
    return "" if one is None or two is None else f", {money(one)} against {money(two)} a month"


def _costs(calls: Row, servers: Row, ratio: Estimate, differences: Sequence[Difference]) -> str:
    """Say what a request costs beside the servers, or that there is no difference."""
    replicas = "one always-on replica" if servers.always_on <= 1 else f"{servers.always_on} always-on replicas"
    if servers.kind == "endpoint":
        replicas = f"{servers.backend}, one server that is always on,"
    if ratio.low is not None and ratio.high is not None and ratio.low <= 1 <= ratio.high:
        return f"costs per request as much as {replicas} as far as this run can tell ({interval(ratio)} times as much)"
    alike = any(
        (d.measure, d.first, d.second, d.verdict) == ("device_seconds", calls.backend, servers.backend, "none")
        for d in differences
    )
    unlike = ", by its prices alone: the device-seconds differ by no more than chance" if alike else ""
    return f"costs {interval(ratio)} times as much per request as {replicas}{unlike}"


def _meets(row: Row) -> str:
    return f"meets the SLO for {_share(row)}"


def _share(row: Row) -> str:
    found = row.attainment
    if found.value is None:
        return "an unknown part of the requests"
    whole = f"{plain(100 * found.value)} %"
    if found.low is None or found.high is None:
        return whole
    return f"{whole} [{plain(100 * found.low)}, {plain(100 * found.high)}]"


def _burstiness(header: Header) -> str:
    return "" if header.arrivals.cv is None else f" with CV {plain(header.arrivals.cv, 2)}"


def _crossing(found: BreakEven | None) -> str:
    if found is None:
        return "where they break even cannot be told, because no warm request was measured"
    if found.always == "serverless":
        return f"calls are cheaper at every rate that one instance serves (up to {plain(found.most_rate)} requests/s)"
    if found.always == "serverful":
        return f"servers are cheaper at every rate that was looked at (from {plain(found.rates[0])} requests/s)"
    return f"they break even at {interval(found.crossing)} requests/s"


def _qualified(header: Header, rows: Sequence[Row], sentence: str) -> str:
    """Put in front, or behind, what takes from the sentence's weight."""
    if not header.valid and any(row.requests for row in rows):
        sentence = f"This run does not count ({header.invalid[0].rstrip('.')}); what it showed: {sentence}"
    fewest = min((row.requests for row in rows if row.requests), default=0)
    if 0 < fewest < LEAST_REQUESTS:
        sentence += f" That rests on {fewest} request{'s' * (fewest > 1)} of a backend, too few for a verdict."
    if header.interrupted:
        sentence += f" The run was interrupted after {header.repeats_done} of {header.repeats} repeats."
    for what, named in (
        ("could not be measured", header.not_measured),
        (
            "died in mid-run",
            [row.backend for row in rows if row.error is not None and row.backend not in header.not_measured],
        ),
        ("was saturated", [row.backend for row in rows if row.steadiness.saturated]),
        (
            "reached no steady state",
            [row.backend for row in rows if row.steadiness.steady is False and not row.steadiness.saturated],
        ),
    ):
        if named:
            sentence += f" {' and '.join(named)} {what}."
    return sentence


def _holds_for(measuring: Measuring, header: Header) -> str:
    machine = header.machine.get("cpu") or header.machine.get("device") or "this machine"
    arrivals = header.arrivals
    tokens = "" if arrivals.tokens_in is None else f" of {plain(arrivals.tokens_in)} tokens in"
    if arrivals.tokens_in is not None and arrivals.tokens_out is not None:
        tokens += f" and {plain(arrivals.tokens_out)} out"
    drawn = "synthetic" if arrivals.synthetic else "replayed"
    return (
        f"{header.model} ({header.dtype or 'dtype unknown'}, {header.engine or 'engine unknown'}) on "
        f"{machine}, requests{tokens}, {arrivals.label} ({drawn}) at {plain(measuring.rate)}/s, keep-alive "
        f"{plain(header.instance.keep_alive)} s, and a TTFT within {plain(header.slo.ttft)} s with "
        f"{plain(header.slo.tpot)} s per further token."
    )


def _says_nothing_of(header: Header) -> str:
    gpu = "other GPUs" if header.instance.gpu else "GPUs"
    return f"other models, {gpu}, traffic of another shape, networks and their latency."
