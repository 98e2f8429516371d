from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from quickthaw_platform.errors import InvalidRequest, SettingsInvalid
from quickthaw_platform.traffic.exchange import LINGER_SECONDS, Exchange, open_client
from quickthaw_platform.traffic.generator import LoadOutcome, Progress, run
from quickthaw_platform.traffic.named import traffic
from quickthaw_platform.traffic.planning import LoadPlan, make_plan
from quickthaw_platform.traffic.probing import calibrate
from quickthaw_platform.traffic.prompts import Prompts
from quickthaw_platform.traffic.slo import Slo
from quickthaw_platform.traffic.target import IGNORE_EOS, Target
from tests.integration.traffic.streaming_server import CHARACTERS_A_TOKEN, TEMPLATE_TOKENS, StreamingServer
from tests.patience import PATIENCE_SECONDS

LENIENT = Slo(ttft=30.0)  # the tests' machine may be busy
STALLED_SECONDS = 1.0


@pytest.fixture(scope="module")
def server() -> Iterator[StreamingServer]:
    with StreamingServer() as running:
        yield running


def plan_of(count: int, seconds: float = 0.2, tokens_out: int = 3, **changes: object) -> LoadPlan:
    """Return a plan of evenly spaced requests."""
    found = make_plan(traffic("constant", rate=count / seconds, tokens_in=60, tokens_out=tokens_out), seconds)
    return replace(found, **({"slo": LENIENT} | changes))  # type: ignore[arg-type]


def run_against(server: StreamingServer, plan: LoadPlan, model: str) -> LoadOutcome:
    return asyncio.run(run(plan, Target(server.url, model, extra=IGNORE_EOS)))


def errors(outcome: LoadOutcome) -> set[str | None]:
    return {result.error for result in outcome.results}


def test_each_request_is_sent_on_time_and_its_outputs_are_timed(server: StreamingServer) -> None:
    before = len(server.bodies)
    outcome = run_against(server, plan_of(10), "good")
    assert [result.error for result in outcome.results] == [None] * 10
    assert [result.number for result in outcome.results] == list(range(10))
    assert [result.intended for result in outcome.results] == pytest.approx([0.02 * n for n in range(10)])
    for result in outcome.results:
        assert result.intended <= result.sent < (result.first_token or 0) <= result.end
        assert len(result.gaps) == 2
        assert (result.first_token or 0) + sum(result.gaps) <= result.end
        assert result.completion_tokens == result.tokens_out == 3
        assert result.cold is None
    assert outcome.seconds >= 0.2
    assert outcome.dispatch_lag_p99 == max(result.lag for result in outcome.results)
    asked = server.bodies[before:]
    assert len({body["messages"][0]["content"][:8] for body in asked}) == 10
    assert asked[0] | {"messages": 0} == {
        "model": "good", "messages": 0, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 3,
        "ignore_eos": True,
    }  # fmt: skip


def test_a_slow_answer_holds_up_no_other_request() -> None:
    with StreamingServer(together=40) as slow:  # it answers the first when the last has come
        outcome = run_against(slow, plan_of(40, tokens_out=6), "good")
    assert len(outcome.results) == 40
    assert errors(outcome) == {None}
    assert max(result.sent for result in outcome.results) < min(result.end for result in outcome.results)


def test_connections_are_as_many_as_needed_and_are_used_again() -> None:
    with StreamingServer(together=100) as slow:
        assert errors(run_against(slow, plan_of(100, seconds=0.1, tokens_out=20), "good")) == {None}
        assert slow.connections == 100  # all at once: nothing waits for a connection
    with StreamingServer() as quick:
        assert errors(run_against(quick, plan_of(10, seconds=1.0), "good")) == {None}
        assert quick.connections < 10


def test_a_connection_that_broke_is_opened_anew(server: StreamingServer) -> None:
    async def one_after_the_other(*models: str) -> list[str | None]:
        verdicts = []
        async with open_client(Target(server.url, "good")) as http:
            for target in (Target(server.url, model) for model in models):
                exchange = Exchange(time.monotonic)
                await exchange.run(http, target.address, target.body("hello", 2))
                verdicts.append(exchange.reader.verdict())
        return verdicts

    first, broken, mended = asyncio.run(one_after_the_other("good", "breaks", "good"))
    assert (first, mended) == (None, None)
    assert broken is not None


@pytest.mark.parametrize(
    ("model", "said", "has_output"),
    [
        ("undone", "ended without [DONE]", True),
        ("breaks", "the connection failed: RemoteProtocolError", True),
        ("stalls", f"timed out: not complete {STALLED_SECONDS:g} s after it was to be sent", True),
        ("fails", "the stream ended with an error: out of memory", True),
        ("silent", "the answer is empty", False),
        ("garbled", "a chunk of the stream is not JSON", False),
        ("html", "answered with text/html; charset=utf-8 instead of text/event-stream", False),
        ("full", "refused with 429: the queue is full", False),
    ],
)
def test_what_went_wrong_is_a_miss_that_says_why(
    server: StreamingServer, model: str, said: str, has_output: bool
) -> None:
    timeout = STALLED_SECONDS if model == "stalls" else PATIENCE_SECONDS
    outcome = run_against(server, plan_of(2, timeout=timeout), model)
    assert len(outcome.results) == 2
    for result in outcome.results:
        assert result.error is not None
        assert said in result.error
        assert (result.first_token is not None) == has_output
        assert not LENIENT.met(result)


def test_a_connection_that_is_refused_is_a_miss() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        outcome = asyncio.run(run(plan_of(2), Target(url, "good")))
    assert [(result.error or "").partition(":")[0] for result in outcome.results] == ["the connection failed"] * 2
    assert outcome.dispatch_lag_p99 < 30.0


def test_a_proxy_that_is_not_there_is_named_and_this_machine_is_reached_without_it(
    server: StreamingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    outcome = asyncio.run(run(plan_of(1), Target("http://elsewhere.test", "good")))
    assert "through the proxy http://127.0.0.1:9 (http_proxy" in (outcome.results[0].error or "")
    assert errors(run_against(server, plan_of(1), "good")) == {None}


def test_a_stream_that_stays_open_after_done_is_complete(server: StreamingServer) -> None:
    outcome = run_against(server, plan_of(1), "lingers")
    (result,) = outcome.results
    assert result.error is None
    assert outcome.seconds - result.end > LINGER_SECONDS / 2  # it ended with [DONE], and was watched for longer


def test_the_wall_clock_is_not_asked(server: StreamingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter([0.0, 1e9, 5.0])
    monkeypatch.setattr(time, "time", lambda: next(steps, -1e6))
    outcome = run_against(server, plan_of(3), "good")
    assert [result.error for result in outcome.results] == [None] * 3
    assert all(0 <= result.e2e < 30 for result in outcome.results)


def test_a_late_generator_makes_the_run_invalid(server: StreamingServer) -> None:
    outcome = run_against(server, plan_of(3, slo=Slo(ttft=1e-9)), "good")
    assert outcome.invalid is not None
    assert "p99 of the dispatch lag" in outcome.invalid
    assert run_against(server, plan_of(3), "good").invalid is None


def test_a_blocked_generator_is_late_and_its_latencies_count_from_the_intended_time(server: StreamingServer) -> None:
    blocked = 0.3

    def block(progress: Progress) -> None:
        if progress.sent == 1:
            until = time.monotonic() + blocked
            while time.monotonic() < until:
                pass

    plan = plan_of(2, seconds=0.3)
    outcome = asyncio.run(run(plan, Target(server.url, "good"), on_progress=block))
    second = outcome.results[1]
    assert second.lag > 0.1
    assert (second.ttft or 0) > second.lag
    assert outcome.dispatch_lag_p99 == pytest.approx(second.lag)


def test_a_plan_without_requests_is_run_at_once(server: StreamingServer) -> None:
    nothing = np.array([], np.int64)
    plan = replace(plan_of(1), times=np.array([]), tokens_in=nothing, tokens_out=nothing)
    outcome = run_against(server, plan, "good")
    assert outcome.results == ()
    assert outcome.dispatch_lag_p99 == 0.0
    assert outcome.invalid is None


def test_a_stopped_run_keeps_what_was_measured(server: StreamingServer) -> None:
    async def stopped() -> LoadOutcome:
        stop = asyncio.Event()

        def on_progress(progress: Progress) -> None:
            if progress.done >= 2:
                stop.set()

        plan = plan_of(1000, seconds=300.0)
        return await run(plan, Target(server.url, "good"), on_progress=on_progress, stop=stop)

    outcome = asyncio.run(stopped())
    assert outcome.interrupted
    assert 2 <= len(outcome.results) < 1000
    assert outcome.results[0].error is None
    assert outcome.seconds < 300


def test_what_still_runs_when_stopped_is_given_up_after_a_while(server: StreamingServer) -> None:
    async def stopped() -> LoadOutcome:
        stop = asyncio.Event()

        def on_progress(progress: Progress) -> None:
            if progress.running == 1:
                stop.set()

        target = Target(server.url, "stalls")
        return await run(plan_of(1), target, on_progress=on_progress, stop=stop, patience=0.1)

    outcome = asyncio.run(stopped())
    assert outcome.interrupted
    assert [("interrupted" in (result.error or "")) for result in outcome.results] == [True]


def test_progress_is_told(server: StreamingServer) -> None:
    told: list[Progress] = []
    asyncio.run(run(plan_of(5), Target(server.url, "full"), on_progress=told.append))
    assert told[-1].sent == told[-1].done == told[-1].failed == told[-1].planned == 5
    assert told[-1].running == 0
    assert [now.done for now in told] == sorted(now.done for now in told)


def test_a_quickthaw_gateway_is_asked_about_each_invocation() -> None:
    with StreamingServer() as gateway:
        outcome = run_against(gateway, plan_of(3), "quickthaw")
    cold, warm, unknown = sorted(outcome.results, key=lambda result: result.invocation or "")
    assert (cold.cold, cold.tier, cold.node, cold.queue) == (True, "disk", "node-1", 0.25)
    assert cold.stages == {"weights": 0.2, "fork": 0.01}
    assert (warm.cold, warm.tier, warm.stages) == (False, None, {})
    assert unknown.cold is None
    assert outcome.notes[0].startswith("1 invocations could not be looked up: inv-3")


def test_completions_take_prompts_and_the_key_and_headers_are_sent() -> None:
    with StreamingServer() as server:
        target = Target(f"{server.url}/v1/", "good", "/v1/completions", api_key="sk-1", headers={"X-Test": "yes"})
        outcome = asyncio.run(run(plan_of(1), target))
        assert outcome.results[0].error is None
        assert isinstance(server.bodies[0]["prompt"], str)
        assert "ignore_eos" not in server.bodies[0]
        assert "authorization: bearer sk-1" in server.headers[0].lower()
        assert "x-test: yes" in server.headers[0].lower()


def test_two_probes_tell_how_tokens_are_counted(server: StreamingServer) -> None:
    found = asyncio.run(calibrate(Target(server.url, "good"), Prompts()))
    assert found.overhead == pytest.approx(TEMPLATE_TOKENS, abs=0.5)
    assert found.characters_per_token == pytest.approx(CHARACTERS_A_TOKEN, rel=0.01)
    plan = plan_of(5)
    plan = replace(plan, prompts=replace(plan.prompts, calibration=found))
    counted = [result.prompt_tokens for result in run_against(server, plan, "good").results]
    assert counted == pytest.approx([60] * 5, abs=2)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("full", "the queue is full"),
        ("html", "no OpenAI-compatible endpoint"),
        ("uncounted", "--no-probe"),
        ("undone", "DONE"),
    ],
)
def test_an_endpoint_that_cannot_be_measured_is_refused_with_what_it_said(
    server: StreamingServer, model: str, said: str
) -> None:
    with pytest.raises((InvalidRequest, SettingsInvalid), match=said):
        asyncio.run(calibrate(Target(server.url, model), Prompts()))
