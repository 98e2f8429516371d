"""The generated tables of docs/platforms.md, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.prices.bill import Bill, monthly
from quickthaw_platform.prices.billing import bill
from quickthaw_platform.prices.catalogue import Catalogue
from quickthaw_platform.prices.consumption import Consumption
from quickthaw_platform.prices.figure import NOT_VERIFIED, READ, SECOND_HAND, Figure, Mark, Sourced, Statement, Truth
from quickthaw_platform.prices.listing import figure_text, plain
from quickthaw_platform.prices.offer import Offer, ServerlessOffer, ServerOffer
from quickthaw_platform.prices.platform_facts import PlatformFile
from quickthaw_platform.prices.tokens import TokenOffer

_SIGNS: dict[Mark, str] = {READ: "", SECOND_HAND: "°", NOT_VERIFIED: "?"}
_LIMITS = {"longest request": "longest_request", "memory of an instance": "memory", "GPU": "gpu"}
_SERVING = {
    "requests at a time in an instance": "concurrency",
    "cold start, as published": "cold_start",
    "streaming": "streaming",
    "scales to zero": "scale_to_zero",
}


class Sources:
    """Numbers the sources that the tables refer to, in the order in which they come up."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}

    def sign(self, fact: Sourced) -> str:
        """Return what stands behind a statement: how far it can be trusted, and the number of its source."""
        key = (fact.source, str(fact.date))
        mark = "" if getattr(fact, "value", "") is None else _SIGNS[fact.mark]
        return f"{mark} [{self._numbers.setdefault(key, len(self._numbers) + 1)}]"

    def listed(self) -> str:
        """Return the list of all sources so far."""
        return "\n".join(f"{number}. {source}, {date}" for (source, date), number in self._numbers.items()) + "\n"


def limits_tables(facts: PlatformFile, sources: Sources) -> str:
    """Return two tables of what the platforms publish of their limits."""

    def table(columns: dict[str, str]) -> str:
        rows = [
            [platform.name, *(_statement(getattr(platform, field), sources) for field in columns.values())]
            for platform in facts.platforms
        ]
        return _table(["platform", *columns], rows)

    return table(_LIMITS) + "\n" + table(_SERVING)


def billing_table(facts: PlatformFile, catalogue: Catalogue, sources: Sources) -> str:
    """Return a table of what the platforms bill, from the price files."""
    rows = [
        [offer.name, *_terms(offer, sources)]
        for platform in facts.platforms
        for offer in map(catalogue.get, platform.offers)
    ]
    return _table(["offer", "seconds that count", "start", "rounded up to", "unit prices"], rows)


def priced_table(
    facts: PlatformFile, catalogue: Catalogue, tokens: Sequence[TokenOffer], use: Consumption, about: str
) -> str:
    """Return a table of what a measured use costs on each offer that can serve it, and why others cannot."""
    ids = [*(id for platform in facts.platforms for id in platform.offers), *facts.servers]
    rows = [_priced(catalogue.get(id), use) for id in ids]
    rows += [_row(f"tokens: {offer.id}", offer.bill, use) for offer in tokens]
    head = ["offer", "USD, the period", "USD, 1,000 requests", "USD, million tokens out", "USD, a month like it"]
    return f"{_about(use, about)}\n\n{_table(head, rows)}"


def _about(use: Consumption, about: str) -> str:
    life = sum(span.life for span in use.instances)
    starting, busy = (sum(getattr(span, name) for span in use.instances) for name in ("starting", "busy"))
    return (
        f"**{about or 'A measured use'}**: {use.period_seconds:g} s, {use.requests:,} requests that held a slot for "
        f"{float(use.durations.sum()):,.1f} s together; {len(use.instances)} instances of {use.vcpus:g} vCPU and "
        f"{use.memory_gib:g} GiB with {life:,.1f} instance-seconds, {starting:,.1f} of them starting and {busy:,.1f} "
        f"busy, and {use.always_on:g} always on; measured on {use.gpu or 'a CPU'}."
    )


def _priced(offer: Offer, use: Consumption) -> list[str]:
    try:
        return _row(offer.name, bill(offer, use), use)
    except InvalidRequest as error:
        return [offer.name, *(["-"] * 3), f"no bill: {error.message.partition(': ')[0]}"]


def _row(name: str, found: Bill, use: Consumption) -> list[str]:
    usd, month = found.usd, monthly(found, use.period_seconds).usd

    def of(count: float, each: float) -> str:
        return _money(usd * each / count) if usd is not None and count else "-"

    return [name, of(1, 1), of(use.requests, 1000), of(use.tokens_out, 1e6), "-" if month is None else _money(month)]


def _money(usd: float) -> str:
    return f"{usd:,.2f}" if usd >= 1 else f"{usd:.3g}" if usd >= 1e-4 else plain(float(f"{usd:.3g}"))


def _terms(offer: Offer, sources: Sources) -> list[str]:
    named = offer.prices.figures() if isinstance(offer, ServerlessOffer) else offer.needed()
    prices = "; ".join(f"{name} {_figure(figure, sources)}" for name, figure in named)
    if isinstance(offer, ServerlessOffer):
        counted = {"request": "each request's", "active": "an instance's while it starts or serves"}
        seconds = counted.get(offer.billed, "an instance's, from start to stop")
        start = _truth(offer.setup_billed, sources)
        return [seconds, start, _or_dash(offer.rounding, sources), f"{prices}{_beside(offer, sources)}"]
    floor = offer.floor_machines if isinstance(offer, ServerOffer) else None
    least = f", {_figure(floor, sources)} or more" if floor is not None else ""
    return [f"whole machines', always{least}", "yes", "-", prices]


def _beside(offer: ServerlessOffer, sources: Sources) -> str:
    least = [f for f in (offer.minimum_vcpus, offer.minimum_memory) if f is not None and offer.gpu]
    return f"; at least {' and '.join(_figure(figure, sources) for figure in least)}" if least else ""


def _figure(figure: Figure, sources: Sources) -> str:
    return f"{figure_text(figure)}{sources.sign(figure)}"


def _or_dash(figure: Figure | None, sources: Sources) -> str:
    return "-" if figure is None else _figure(figure, sources)


def _truth(fact: Truth, sources: Sources) -> str:
    said = {True: "billed", False: "free", None: "not known"}[fact.value]
    return f"{said}{sources.sign(fact)}"


def _statement(fact: Statement, sources: Sources) -> str:
    return f"{fact.value}{sources.sign(fact)}" if fact.value is not None else f"not verified{sources.sign(fact)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]]) + "\n"
