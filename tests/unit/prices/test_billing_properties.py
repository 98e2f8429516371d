"""What holds of every bill, whatever was used."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickthaw_platform.prices.billing import Marginal, bill, marginal, monthly
from quickthaw_platform.prices.catalogue import load
from quickthaw_platform.prices.consumption import Consumption, InstanceSpan
from quickthaw_platform.prices.offer import Offer, OwnMachine, ServerlessOffer, ServerOffer
from tests.unit.prices.making import own_machine

CATALOGUE = load()
BILLABLE = [offer for offer in CATALOGUE.offers() if offer.billable] + [own_machine()]
offers = st.sampled_from(BILLABLE)
scaled_to_zero = st.sampled_from([o for o in BILLABLE if isinstance(o, ServerlessOffer)])
standing = st.sampled_from([o for o in BILLABLE if not isinstance(o, ServerlessOffer) or o.billed == "instance"])

seconds = st.floats(0, 1e5)


@st.composite
def spans(draw: st.DrawFn) -> InstanceSpan:
    phases = [draw(seconds) for _ in range(4)]
    return InstanceSpan(sum(phases) + draw(seconds), *phases)


@st.composite
def uses(draw: st.DrawFn) -> Consumption:
    return Consumption(
        period_seconds=draw(st.floats(1, 1e6)),
        request_seconds=tuple(draw(st.lists(seconds, max_size=5))),
        instances=tuple(draw(st.lists(spans(), max_size=4))),
        vcpus=draw(st.floats(0.1, 4)),
        memory_gib=draw(st.floats(0.1, 1.5)),
    )


def cost(offer: Offer, use: Consumption) -> float:
    found = bill(offer, use).usd
    assert found is not None
    return found


@settings(deadline=None)
@given(offers, uses())
def test_no_bill_is_negative_and_none_of_a_month(offer: Offer, use: Consumption) -> None:
    found = bill(offer, use)
    assert found.total >= 0
    assert monthly(found, use.period_seconds).total >= -1e-9


@settings(deadline=None)
@given(offers, uses(), spans(), seconds)
def test_more_use_never_costs_less(offer: Offer, use: Consumption, span: InstanceSpan, request: float) -> None:
    more = replace(use, instances=(*use.instances, span), request_seconds=(*use.request_seconds, request))
    assert cost(offer, more) >= cost(offer, use) * (1 - 1e-9)


@settings(deadline=None)
@given(scaled_to_zero, uses())
def test_rounding_only_ever_adds(offer: ServerlessOffer, use: Consumption) -> None:
    exact = offer.model_copy(update={"rounding": None})
    assert cost(offer, use) >= cost(exact, use) * (1 - 1e-9)


@settings(deadline=None)
@given(scaled_to_zero, uses(), uses())
def test_two_periods_cost_as_much_as_both_at_once(offer: ServerlessOffer, one: Consumption, two: Consumption) -> None:
    two = replace(two, vcpus=one.vcpus, memory_gib=one.memory_gib)
    both = replace(
        one,
        period_seconds=one.period_seconds + two.period_seconds,
        instances=(*one.instances, *two.instances),
        request_seconds=(*one.request_seconds, *two.request_seconds),
    )
    assert cost(offer, one) + cost(offer, two) == pytest.approx(cost(offer, both), rel=1e-6, abs=1e-12)


@settings(deadline=None)
@given(standing, st.floats(0, 20), st.floats(1, 1e6), st.floats(0.01, 0.99))
def test_a_split_period_of_replicas_is_never_cheaper(offer: Offer, replicas: float, period: float, at: float) -> None:
    whole = Consumption(period, always_on=replicas, memory_gib=1)
    parts = [replace(whole, period_seconds=period * share) for share in (at, 1 - at)]
    assert sum(cost(offer, part) for part in parts) >= cost(offer, whole) * (1 - 1e-9)


@pytest.mark.parametrize("offer", BILLABLE, ids=lambda offer: offer.id)
def test_no_use_costs_nothing_but_a_floor(offer: Offer) -> None:
    floor = isinstance(offer, ServerOffer) and offer.floor_machines is not None
    assert (cost(offer, Consumption(3600)) > 0) == floor


def linear(each: Marginal, use: Consumption) -> float:
    def of(phase: str) -> float:
        return float(sum(getattr(span, phase) for span in use.instances))

    rest = sum(s.life - s.starting - s.busy - s.idle - s.draining for s in use.instances)  # counts as idle
    timed = (
        each.starting * of("starting")
        + each.busy * of("busy")
        + each.idle * (of("idle") + rest)
        + each.draining * of("draining")
    )
    return timed + each.request_second * sum(use.request_seconds) + each.request * use.requests


@settings(deadline=None)
@given(scaled_to_zero, uses())
def test_marginal_prices_add_up_to_the_bill_but_for_rounding(offer: ServerlessOffer, use: Consumption) -> None:
    exact = offer.model_copy(update={"rounding": None, "minimum_request": None})
    each = marginal(exact, use.vcpus, use.memory_gib)
    assert linear(each, use) == pytest.approx(cost(exact, use), rel=1e-6, abs=1e-12)
    assert linear(each, use) <= cost(offer, use) * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize(
    "offer", [o for o in BILLABLE if isinstance(o, ServerOffer | OwnMachine)], ids=lambda offer: offer.id
)
def test_a_replica_of_full_machines_costs_its_marginal_price(offer: Offer) -> None:
    each = marginal(offer, vcpus=1, memory_gib=1)
    assert each.always_on is not None
    replicas = 840  # divides by what any machine here holds
    use = Consumption(3600, always_on=replicas, vcpus=1, memory_gib=1)
    assert cost(offer, use) == pytest.approx(each.always_on * replicas * 3600, rel=0.15)
    assert cost(offer, use) >= each.always_on * replicas * 3600 * (1 - 1e-9)


def test_requests_that_are_billed_singly_have_no_price_of_a_busy_instance() -> None:
    each = marginal(CATALOGUE.get("aws-lambda-x86"), vcpus=1, memory_gib=2)
    assert each.busy == each.idle == 0
    assert each.request_second == pytest.approx(2 * 0.0000166667)
    assert each.request == pytest.approx(0.2e-6)
    assert each.always_on is None
