"""The load generator against a real platform."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from quickthaw_platform.traffic.generator import run
from quickthaw_platform.traffic.named import traffic
from quickthaw_platform.traffic.planning import make_plan
from quickthaw_platform.traffic.probing import calibrate
from quickthaw_platform.traffic.prompts import Prompts
from quickthaw_platform.traffic.slo import Slo
from quickthaw_platform.traffic.target import Target
from tests.acceptance.cluster import Cluster


def test_a_run_tells_cold_from_warm_and_gets_the_tokens_that_it_asked_for(cluster: Cluster) -> None:
    target = Target.quickthaw(cluster.client.endpoint, "echo")
    given = traffic("poisson", rate=5.0, tokens_in=300, tokens_out=20)
    cold = asyncio.run(run(make_plan(given, 2.0, 1, slo=Slo(ttft=60.0)), target))
    assert [result.error for result in cold.results] == [None] * len(cold.results)
    assert cold.notes == ()
    first = cold.results[0]
    assert first.cold
    assert first.node is not None
    assert first.queue is not None
    assert first.queue > 0
    assert sum(first.stages.values()) > 0
    assert first.first_token is not None
    assert first.first_token - first.sent > first.queue
    assert {result.completion_tokens for result in cold.results} == {20}

    counted = asyncio.run(calibrate(target, Prompts()))
    assert counted.characters_per_token == pytest.approx(1.0)  # the echo engine counts bytes
    plan = make_plan(given, 2.0, 2, slo=Slo(ttft=60.0))
    warm = asyncio.run(run(replace(plan, prompts=replace(plan.prompts, calibration=counted)), target))
    assert {result.cold for result in warm.results} == {False}
    assert {result.stages == {} for result in warm.results} == {True}
    assert [result.prompt_tokens for result in warm.results] == pytest.approx([300] * len(warm.results), abs=1)
    assert all(len(result.gaps) >= 1 for result in warm.results)
