"""What the router thought: why a call ran where it did, and how well starts were predicted."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response

from quickthaw.resources import DecisionInfo, Explanation, RouterAccuracy, Scope, StartInfo
from quickthaw.types import InvocationInfo
from quickthaw_platform.gateway.invocations import InvocationPath
from quickthaw_platform.gateway.resource import answer, resource
from quickthaw_platform.gateway.services import services
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.router.accuracy import AccuracyLog, PredictedStart, summarise
from quickthaw_platform.router.decisions import DecisionLog

BEFORE_SECONDS = 1.0
"""Decisions of so long before a call was accepted are shown too: it may have met one that was under way."""

AFTER_SECONDS = 1.0
"""A decision is noted when it has been acted on: its instance may have taken the call by then."""

api = resource(
    "router",
    __name__,
    "What the router decided, and how well it guesses",
    read=Scope.DEPLOY,
    write=Scope.ADMIN,
    prefix="/v1",
)


@api.get("/router/accuracy", responses={200: RouterAccuracy})
def accuracy() -> Response:
    """Show how far off the estimates of the last starts were."""
    return answer(summarise(AccuracyLog(services().redis).rows()))


@api.get("/invocations/<id>/explain", responses={200: Explanation})
def explain(path: InvocationPath) -> Response:
    """Show why an invocation ran where and when it did: the decisions of its version while it waited."""
    redis = services().redis
    info = services().store.get(path.id)
    with outage_is_unavailable():
        seconds, micros = redis.time()
    end = info.assigned_at or info.ended_at or seconds + micros / 1e6
    if info.assigned_at == info.created_at:
        return answer(explanation(info, end, (), None))
    noted = DecisionLog(redis).between(info.version, info.created_at - BEFORE_SECONDS, end + AFTER_SECONDS)
    decisions = [d for d in noted if d.t <= end or (d.instance is not None and d.instance == info.instance)]
    finished = None if info.instance is None else AccuracyLog(redis).of_instance(info.instance, info.created_at)
    return answer(explanation(info, end, decisions, finished))


def explanation(
    info: InvocationInfo, end: float, decisions: Sequence[DecisionInfo], finished: PredictedStart | None
) -> Explanation:
    """Put together what is known of an invocation that waited until `end` (Unix seconds)."""
    return Explanation(
        id=info.id,
        function=info.function,
        version=info.version,
        state=info.state,
        node=info.node,
        instance=info.instance,
        warm=info.assigned_at == info.created_at,
        waited_seconds=max(0.0, end - info.created_at),
        decisions=tuple(decisions),
        start=_start(info.instance, decisions, finished),
    )


def _start(
    instance: str | None, decisions: Sequence[DecisionInfo], finished: PredictedStart | None
) -> StartInfo | None:
    for decision in decisions:
        if instance is not None and decision.instance == instance:
            return StartInfo(
                instance=instance,
                way=decision.way,
                predicted_seconds=decision.estimate_seconds,
                actual_seconds=None if finished is None else finished.actual,
            )
    return None
