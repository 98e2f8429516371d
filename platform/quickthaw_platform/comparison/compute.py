"""From what lies in a run's folder to the report: a pure function, so that an old run can be reported anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quickthaw_platform.comparison import ablations as changing
from quickthaw_platform.comparison import costs, crossings, curves, offers
from quickthaw_platform.comparison.ablations import Changed
from quickthaw_platform.comparison.answer import answer
from quickthaw_platform.comparison.differing import differences, noise
from quickthaw_platform.comparison.exhibits import BreakEven, Hybrid, Surface
from quickthaw_platform.comparison.headline import row
from quickthaw_platform.comparison.hybrid_base import best_base
from quickthaw_platform.comparison.measuring import Measuring, measure
from quickthaw_platform.comparison.needs import Needs, needs
from quickthaw_platform.comparison.offers import Pair, Priced
from quickthaw_platform.comparison.recorded import Recorded
from quickthaw_platform.comparison.report import Cost, Header, PriceList, Report, Row
from quickthaw_platform.comparison.savings import savings
from quickthaw_platform.comparison.statistics.bootstrap import CONFIDENCE
from quickthaw_platform.comparison.threats import threats
from quickthaw_platform.prices.catalogue import Catalogue
from quickthaw_platform.prices.offer import ServerlessOffer
from quickthaw_platform.prices.servers import replicas_per_machine
from quickthaw_platform.prices.tokens import TokenOffer

MOST_PAIRS = 3
"""Pairs of offers for which curves are drawn; the table of costs has all offers."""
SEED = 1
SLOWED = 0.9
"""A request that takes less than this part of its time where it is alone was slowed by others."""
LIKE_THE_BEST = 0.01
"""A backend meets the objective as well as the best if so small a part more of its requests misses it."""


def compute(
    recorded: Recorded, catalogue: Catalogue, *, prices: Sequence[str] | None = None, seed: int = SEED,
    tokens_like: str | None = None, changed: Sequence[Changed] = (),
) -> Report:  # fmt: skip
    """Compute a report. The same folder, price files and seed give the same report.

    `prices` are ids of offers or providers (None: see `offers.usable`); `tokens_like` a model whose tokens are sold
    (see `prices.tokens.buy_tokens`); `changed` are other runs for the ablations. NotFound and InvalidRequest where a
    chosen offer is not there, or cannot serve such an instance.
    """
    run, measuring = recorded.recording, measure(recorded, seed)
    priced = offers.usable(catalogue, run.instance, prices)
    pairs = offers.pairs(priced, as_chosen=prices is not None)[:MOST_PAIRS]
    rows = _with_slo([row(measuring, one, costs.costs(measuring, one, priced)) for one in run.backends])
    token_costs, bought = _tokens(measuring, tokens_like)
    header = _header(measuring, _lists(measuring, rows, priced, bought), seed)
    floor, need = noise(measuring), needs(measuring, seed)
    compared = differences(measuring, floor)
    found = _economics(measuring, rows, pairs, need)
    return Report(
        title=f"{run.function}: serverless or serverful?",
        header=header,
        answer=answer(measuring, header, rows, next(iter(pairs), None), next(iter(found.break_evens), None), compared),
        rows=rows, differences=compared, noise=floor, token_costs=token_costs,
        savings=savings(rows, bought), validations=list(run.validations),
        latency_curves=curves.latency_curves(measuring), waterfalls=curves.waterfalls(measuring),
        timelines=curves.timelines(measuring), break_evens=found.break_evens, surfaces=found.surfaces,
        hybrids=found.hybrids, pareto=curves.pareto(rows, _offers(pairs[:1])),
        attainment=curves.attainment(measuring, rows), ablations=changing.ablations(measuring, changed, seed),
        threats=threats(
            measuring, header, rows, floor,
            billed_as_gpu=_as_gpu(measuring, rows, priced), shared=_billed_apart(need, rows, priced),
            in_part=_in_part(measuring, pairs),
        ),
        missing=recorded.missing,
    )  # fmt: skip


def _offers(pairs: Sequence[Pair]) -> list[str]:
    return [offer.id for pair in pairs for offer in (pair.calls.offer, pair.servers.offer)]


@dataclass(frozen=True)
class _Economics:
    break_evens: list[BreakEven]
    surfaces: list[Surface]
    hybrids: list[Hybrid]


def _economics(measuring: Measuring, rows: Sequence[Row], pairs: Sequence[Pair], need: Needs | None) -> _Economics:
    if need is None:
        return _Economics([], [], [])
    count, form = crossings.counted_replicas(measuring), crossings.forms(measuring, need)
    bases = [best_base(measuring, pair, need) for pair in pairs]
    return _Economics(
        [crossings.break_even(measuring, pair, need, form, rows, count) for pair in pairs],
        [crossings.surface(measuring, pair, need, form, count) for pair in pairs],
        [base for base in bases if base is not None],
    )


def _header(measuring: Measuring, lists: list[PriceList], seed: int) -> Header:
    run = measuring.recording
    lags = [block.dispatch_lag_p99 for block in run.blocks if block.dispatch_lag_p99 is not None]
    invalid = [f"{block.backend}, repeat {block.repeat + 1}: {block.invalid}." for block in run.blocks if block.invalid]
    whole = [
        sum(1 for block in run.blocks_of(one.name) if block.sent and not block.interrupted and block.error is None)
        for one in run.backends
    ]
    return Header(
        commit=run.commit, command=run.command, created_at=run.created_at, machine=run.machine, function=run.function,
        model=run.model, checkpoint=run.checkpoint, dtype=run.dtype, engine=run.engine, arrivals=run.arrivals,
        backends=run.backends, order=run.order, repeats=run.repeats, repeats_done=min(whole), slo=run.slo,
        instance=run.instance, prices=lists, seed=seed, resamples=len(measuring.windows.starts), confidence=CONFIDENCE,
        dispatch_lag_p99=max(lags, default=None), valid=not invalid and any(block.sent for block in run.blocks),
        invalid=invalid, interrupted=run.interrupted or any(block.interrupted for block in run.blocks),
        blocks=run.blocks,
    )  # fmt: skip


def _with_slo(rows: list[Row]) -> list[Row]:
    """Say at each cost whether its backend meets the objective as well as the best does, within what can be told."""
    best = max((row.attainment.value for row in rows if row.attainment.value is not None), default=None)
    return [
        row.model_copy(
            update={"costs": [cost.model_copy(update={"meets_slo": _meets(row, best)}) for cost in row.costs]}
        )
        for row in rows
    ]


def _meets(row: Row, best: float | None) -> bool | None:
    found = row.attainment
    if found.value is None or best is None:
        return None
    return best - found.value <= LIKE_THE_BEST or (found.high is not None and found.high >= best)


def _tokens(measuring: Measuring, like: str | None) -> tuple[list[Cost], list[TokenOffer]]:
    tokens_in, tokens_out, sent, seconds = costs.tokens_of(measuring)
    bought = offers.tokens(like, tokens_in, tokens_out, costs.run_day(measuring.recording.created_at))
    return costs.token_costs(bought, sent, seconds), bought


def _lists(
    measuring: Measuring, rows: Sequence[Row], priced: Sequence[Priced], bought: Sequence[TokenOffer]
) -> list[PriceList]:  # fmt: skip
    """Return the price lists of which a figure stands in the report."""
    shown = {cost.offer for row in rows for cost in row.costs}
    day = costs.run_day(measuring.recording.created_at)
    return offers.price_lists([one for one in priced if one.offer.id in shown], bought, day)


def _billed_apart(need: Needs | None, rows: Sequence[Row], priced: Sequence[Priced]) -> str | None:
    """Return what is wrong with bills of single requests, where several slowed each other; None where they did not."""
    shown = {cost.offer for row in rows if row.kind != "serverful" for cost in row.costs}
    apart = [
        one.offer.name for one in priced if one.offer.id in shown and getattr(one.offer, "billed", "") == "request"
    ]
    if need is None or need.service.value is None or not apart or need.stretch[0] > SLOWED:
        return None
    return (
        f"{', '.join(apart)}: each request is billed for its own seconds, as if it had an instance for itself. Here "
        f"{1 + need.others:.2g} of them shared one on average and slowed each other: a request took "
        f"{need.service.value:.2g} s, and alone takes about {need.service.value * float(need.stretch[0]):.2g} s. A "
        "true bill would be lower."
    )


def _in_part(measuring: Measuring, pairs: Sequence[Pair]) -> list[str]:
    """Return the servers that hold several replicas, and how many, of the pairs that are compared."""
    shape = measuring.recording.instance
    servers = {pair.servers.offer.id: pair.servers.offer for pair in pairs}
    found = [
        (offer.name, replicas_per_machine(offer, shape.vcpus, shape.memory_gib, shape.gpu, shape.gpus)[0])
        for offer in servers.values()
        if not isinstance(offer, ServerlessOffer)
    ]
    return [f"{name} holds {each}" for name, each in found if each > 1]


def _as_gpu(measuring: Measuring, rows: Sequence[Row], priced: Sequence[Priced]) -> bool:
    shown = {cost.offer for row in rows for cost in row.costs}
    with_gpu = any(one.offer.gpu is not None for one in priced if one.offer.id in shown)
    return measuring.recording.instance.gpu is None and with_gpu
