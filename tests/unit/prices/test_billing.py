from __future__ import annotations

import numpy as np
import pytest

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.prices.billing import PriceUnknown, bill, monthly
from quickthaw_platform.prices.consumption import Consumption, InstanceSpan
from quickthaw_platform.prices.offer import MultiplierNotFound, multiplied
from quickthaw_platform.prices.units import MONTH_SECONDS
from tests.unit.prices.making import SOURCE, figure, own_machine, server, serverless, truth

SPAN = InstanceSpan(100.0, starting=10, busy=50, idle=35, draining=5)


def test_an_instance_is_billed_from_start_to_stop() -> None:
    assert bill(serverless(), Consumption(1000, instances=[SPAN, SPAN])).total == pytest.approx(200)


def test_a_start_that_is_not_billed_is_left_out() -> None:
    offer = serverless(setup_billed=truth(False))
    assert bill(offer, Consumption(1000, instances=[SPAN])).total == pytest.approx(90)


def test_a_start_of_which_nothing_is_known_is_billed_and_noted() -> None:
    found = bill(serverless(setup_billed=truth(None)), Consumption(1000, instances=[SPAN]))
    assert found.total == pytest.approx(100)
    assert "whether a start is billed is not known; it is taken to be" in found.notes


def test_active_time_leaves_idle_time_out() -> None:
    offer = serverless(billed="active")
    assert bill(offer, Consumption(1000, instances=[SPAN])).total == pytest.approx(65)


def test_each_request_is_billed_for_itself_even_if_they_shared_an_instance() -> None:
    offer = serverless(billed="request", setup_billed=truth(False))
    use = Consumption(1000, np.array([20.0, 20.0, 20.0]), instances=[SPAN])
    assert bill(offer, use).total == pytest.approx(60)


def test_the_start_before_a_request_is_billed_with_it() -> None:
    offer = serverless(billed="request")
    assert bill(offer, Consumption(1000, [20.0], instances=[SPAN])).total == pytest.approx(30)


@pytest.mark.parametrize(
    ("step", "durations", "seconds"),
    [
        (1.0, [0.1, 0.9, 1.0, 1.1], 1 + 1 + 1 + 2),  # each for itself, whole ones stay
        (0.1, [0.3, 0.30000001], 0.3 + 0.4),  # three tenths are not quite 0.3 in binary
        (0.001, [], 0.0),
    ],
)
def test_each_request_is_rounded_up(step: float, durations: list[float], seconds: float) -> None:
    offer = serverless(billed="request", rounding=figure(step, "s"))
    assert bill(offer, Consumption(10, durations)).total == pytest.approx(seconds)


def test_a_short_request_counts_as_the_minimum() -> None:
    offer = serverless(billed="request", minimum_request=figure(0.1, "s"))
    assert bill(offer, Consumption(10, [0.01, 0.2])).total == pytest.approx(0.3)


def test_each_instance_is_rounded_up() -> None:
    offer = serverless(rounding=figure(60, "s"))
    assert bill(offer, Consumption(1000, instances=[SPAN, InstanceSpan(1.0)])).total == pytest.approx(120 + 60)


def test_a_real_shape_of_bill_adds_processors_memory_gpu_and_requests() -> None:
    offer = serverless(
        gpu="L4",
        prices={
            "vcpu": figure(0.000018, "USD/vCPU-s"),
            "memory": figure(0.0072, "USD/GiB-h"),
            "gpu": figure(0.7, "USD/GPU-h"),
            "request": figure(0.4, "USD/million requests"),
        },
        minimum_vcpus=figure(4, "vCPU"),
        minimum_memory=figure(16, "GiB"),
    )
    found = bill(offer, Consumption(1000, [1.0] * 5, [SPAN], vcpus=2, memory_gib=8, gpu="L4", gpus=1))
    assert {line.label: line.amount for line in found.lines} == pytest.approx(
        {
            "processors of instances": 400 * 0.000018,
            "memory of instances": 1600 * 0.0072 / 3600,
            "GPUs of instances": 100 * 0.7 / 3600,
            "requests": 5 * 0.4e-6,
        }
    )
    assert "minimum 4 vCPU beside an L4; 2 were used" in found.notes
    assert "billed 16 GiB of memory beside an L4; 8 were used" in found.notes


@pytest.mark.parametrize(
    ("unit", "seconds_price"),
    [("USD/core-s", 1.0), ("USD/vCPU-s", 2.0), ("USD/vCPU-h", 2 / 3600)],  # for an instance with two vCPUs
)
def test_a_core_is_two_vcpus(unit: str, seconds_price: float) -> None:
    offer = serverless(prices={"vcpu": figure(1, unit)})
    assert bill(offer, Consumption(10, instances=[InstanceSpan(1.0)], vcpus=2)).total == pytest.approx(seconds_price)


def test_a_gigabyte_is_less_than_a_gibibyte() -> None:
    offer = serverless(prices={"memory": figure(1, "USD/GB-s")})
    found = bill(offer, Consumption(10, instances=[InstanceSpan(1.0)], memory_gib=1))
    assert found.total == pytest.approx(1.073741824)


def test_processors_that_come_with_memory_raise_the_memory() -> None:
    offer = serverless(prices={"memory": figure(1, "USD/GiB-s")}, memory_per_vcpu=figure(1.75, "GiB/vCPU"))
    use = Consumption(10, instances=[InstanceSpan(1.0)], vcpus=2, memory_gib=1)
    assert bill(offer, use).total == pytest.approx(3.5)


def test_memory_is_rounded_up_to_steps() -> None:
    offer = serverless(prices={"memory": figure(1, "USD/GiB-s")}, memory_step=figure(0.125, "GiB"))
    use = Consumption(10, instances=[InstanceSpan(1.0)], memory_gib=1.01)
    assert bill(offer, use).total == pytest.approx(1.125)


def test_an_instance_that_the_platform_cannot_give_is_refused() -> None:
    offer = serverless(maximum_memory=figure(10, "GiB"))
    with pytest.raises(InvalidRequest, match="at most 10 GiB of memory, and 16 are needed"):
        bill(offer, Consumption(10, instances=[SPAN], memory_gib=16))


def test_a_gpu_is_refused_where_there_is_none() -> None:
    for offer in (serverless(), server()):
        with pytest.raises(InvalidRequest, match="Made has no GPU, and this was measured on L4"):
            bill(offer, Consumption(1000, instances=[SPAN], gpu="L4", gpus=1))


def test_seconds_of_a_cpu_are_billed_as_seconds_of_a_gpu_and_that_is_said() -> None:
    offer = serverless(gpu="L4", prices={"gpu": figure(1, "USD/GPU-s")})
    found = bill(offer, Consumption(1000, instances=[SPAN]))
    assert found.total == pytest.approx(100)
    assert any(note.startswith("measured without a GPU") for note in found.notes)


def test_multipliers_apply_only_when_named_and_not_to_requests() -> None:
    offer = serverless(
        prices={"instance": figure(1, "USD/s"), "request": figure(1, "USD/request")},
        multipliers=[{"name": "region", "factor": figure(1.5, "x")}, {"name": "firm", "factor": figure(3, "x")}],
    )
    use = Consumption(1000, [1.0], instances=[SPAN])
    assert bill(offer, use).total == pytest.approx(101)
    assert bill(multiplied(offer, "region", "firm"), use).total == pytest.approx(451)
    with pytest.raises(MultiplierNotFound, match="known: firm, region"):
        multiplied(offer, "moon")


def test_always_on_instances_are_billed_for_the_whole_period() -> None:
    assert bill(serverless(), Consumption(1000, always_on=1.5)).total == pytest.approx(1500)


def test_always_on_instances_may_have_a_price_of_their_own() -> None:
    offer = serverless(always_on_prices={"instance": figure(0.5, "USD/s")})
    assert bill(offer, Consumption(1000, instances=[SPAN], always_on=1)).total == pytest.approx(600)


def test_always_on_instances_are_refused_where_they_have_no_price() -> None:
    with pytest.raises(InvalidRequest, match="always_on_prices"):
        bill(serverless(billed="request"), Consumption(1000, always_on=1))


@pytest.mark.parametrize(("replicas", "machines"), [(0.0, 0), (1.0, 1), (4.0, 1), (4.2, 2), (9.0, 3)])
def test_servers_are_whole_machines_that_hold_the_replicas(replicas: float, machines: int) -> None:
    found = bill(server(), Consumption(3600, always_on=replicas, vcpus=2, memory_gib=4))
    assert found.total == pytest.approx(3.6 * machines)


def test_a_machine_holds_as_many_replicas_as_its_scarcest_part() -> None:
    use = Consumption(3600, always_on=3, vcpus=1, memory_gib=16)
    assert bill(server(), use).total == pytest.approx(3.6 * 2)


def test_a_machine_that_cannot_hold_one_replica_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="Made has 8 vCPU, and an instance needs 16"):
        bill(server(), Consumption(3600, always_on=1, vcpus=16))


def test_a_machine_with_eight_gpus_is_paid_whole() -> None:
    offer = server(gpu="H100", price=figure(2, "USD/GPU-h"), machine={"gpus": 8, **SOURCE})
    assert bill(offer, Consumption(3600, always_on=1, gpu="H100", gpus=1)).total == pytest.approx(16)
    assert bill(offer, Consumption(3600, always_on=9, gpu="H100", gpus=1)).total == pytest.approx(32)


def test_a_platform_with_a_floor_costs_it_even_unused() -> None:
    offer = server(floor_machines=figure(3, "machines"))
    assert bill(offer, Consumption(3600)).total == pytest.approx(3 * 3.6)


def test_autoscaled_replicas_count_by_their_mean() -> None:
    use = Consumption(3600, instances=[InstanceSpan(1800.0)], always_on=1, vcpus=8)
    assert bill(server(), use).total == pytest.approx(2 * 3.6)


def test_a_server_may_be_rounded_up_to_hours() -> None:
    offer = server(rounding=figure(3600, "s"))
    assert bill(offer, Consumption(60, always_on=1)).total == pytest.approx(3.6)


def test_a_monthly_price_is_taken_by_its_share_and_comes_out_whole_in_a_month() -> None:
    found = bill(server(price=figure(73, "USD/month")), Consumption(3600, always_on=1))
    assert found.total == pytest.approx(0.1)
    assert monthly(found, 3600).total == pytest.approx(73)


def test_a_set_up_fee_is_left_out_and_said_unless_it_is_spread() -> None:
    use = Consumption(MONTH_SECONDS, always_on=1)
    once = server(price=figure(100, "USD/month"), setup=figure(120, "USD"))
    assert bill(once, use).total == pytest.approx(100)
    assert "a set-up of 120 USD a machine, once, is not in it" in bill(once, use).notes
    spread = server(price=figure(100, "USD/month"), setup=figure(120, "USD"), setup_over=figure(12, "months"))
    assert bill(spread, use).total == pytest.approx(110)


def test_an_own_machine_costs_its_purchase_and_its_energy() -> None:
    assert bill(own_machine(), Consumption(3600, always_on=1)).total == pytest.approx(1.2)


def test_hours_in_which_an_own_machine_is_not_ready_are_paid_by_the_others() -> None:
    offer = own_machine(utilisation=figure(50, "%"), other=figure(73, "USD/month"))
    assert bill(offer, Consumption(3600, always_on=1)).total == pytest.approx(2 * (1.0 + 0.1) + 0.2)


def test_what_is_free_comes_off_the_month_and_not_the_period() -> None:
    offer = serverless(
        prices={"instance": figure(1, "USD/s"), "request": figure(1, "USD/request")},
        free={"requests": figure(700, "requests/month")},
    )
    found = bill(offer, Consumption(3600, [0.0, 0.0]))
    assert found.total == pytest.approx(2)
    assert monthly(found, 3600).total == pytest.approx(2 * 730 - 700)


def test_a_credit_never_makes_a_month_cost_less_than_nothing() -> None:
    offer = serverless(free={"credit": figure(30, "USD/month")})
    cheap, dear = (Consumption(3600, instances=[InstanceSpan(life)]) for life in (0.01, 1.0))
    assert monthly(bill(offer, cheap), 3600).total == pytest.approx(0)
    assert monthly(bill(offer, dear), 3600).total == pytest.approx(700)


def test_a_month_with_more_traffic_pays_more_for_calls_and_no_more_for_what_is_kept() -> None:
    use = Consumption(3600, [1.0], instances=[InstanceSpan(1.0)], always_on=1)
    calls = serverless(
        prices={"instance": figure(1, "USD/s"), "request": figure(7, "USD/request")},
        always_on_prices={"instance": figure(0.5, "USD/s")},
    )
    assert monthly(bill(calls, use), 3600, 2.0, 3.0).total == pytest.approx(730 * (2 * 1.0 + 3 * 7 + 0.5 * 3600))
    kept = Consumption(3600, always_on=1)
    for offer in (server(), own_machine()):
        assert monthly(bill(offer, kept), 3600, 2.0).total == pytest.approx(monthly(bill(offer, kept), 3600).total)


def test_an_unknown_price_is_refused_by_its_name() -> None:
    unknown = serverless(prices={"gpu": figure(None, "USD/GPU-s"), "vcpu": figure(1, "USD/vCPU-s")}, gpu="L4")
    with pytest.raises(PriceUnknown, match=r"nobody knows its prices\.gpu"):
        bill(unknown, Consumption(1000, instances=[SPAN]))


def test_an_unknown_price_of_requests_is_left_out_and_said() -> None:
    offer = serverless(prices={"instance": figure(1, "USD/s"), "request": figure(None, "USD/request")})
    found = bill(offer, Consumption(1000, [1.0], instances=[SPAN]))
    assert found.total == pytest.approx(100)
    assert "what requests cost by number is not known and not in it" in found.notes


def test_euros_become_dollars_only_at_a_rate() -> None:
    euros = server(currency="EUR", price=figure(3.6, "EUR/h"))
    use = Consumption(3600, always_on=1)
    assert bill(euros, use).usd is None
    rated = euros.model_copy(update={"rate": server(price=figure(1.1, "USD/h")).price})
    assert bill(rated, use).total == pytest.approx(3.6)
    assert bill(rated, use).usd == pytest.approx(3.96)


def test_terms_that_nobody_knows_are_noted_and_not_applied() -> None:
    offer = serverless(
        minimum_request=figure(None, "s"), rounding=figure(None, "s"), free={"requests": figure(None, "requests/month")}
    )
    found = bill(offer, Consumption(1000, instances=[SPAN]))
    assert found.total == pytest.approx(100)
    assert {
        "minimum request exists and is not known; it is not applied",
        "how times are rounded is not known; they are not",
        "something is free each month and how much is not known; it is not taken off",
    } <= set(found.notes)


def test_what_a_price_of_a_server_depends_on_is_noted() -> None:
    use = Consumption(3600, always_on=1)
    assert "a spot price: the machine may be taken away at any time" in bill(server(term="spot"), use).notes
    reserved = server(term="reserved", commitment=figure(12, "months"))
    assert "needs a commitment of 12 months" in bill(reserved, use).notes
