"""What was used: device time, memory, tokens, requests, bytes fetched."""

from __future__ import annotations

from flask import Response, jsonify
from pydantic import BaseModel, Field

from quickthaw.resources import FocusRow, Scope, UsageRow
from quickthaw_platform.controller.clock import redis_time
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.resource import Page, page, resource
from quickthaw_platform.gateway.services import services
from quickthaw_platform.gateway.turns import in_turns
from quickthaw_platform.metering.usage import tariffs
from quickthaw_platform.metering.usage.focus import Tariff, focus_rows
from quickthaw_platform.metering.usage.moments import parse_moment
from quickthaw_platform.metering.usage.rows import parse_by
from quickthaw_platform.metering.usage.store import UsageStore, added_up

MOMENT = 'Unix seconds, ISO 8601, or how long ago, such as "24h"'

api = resource("usage", __name__, "What was used", read=Scope.DEPLOY, write=Scope.ADMIN, prefix="/v1/usage")


class Span(BaseModel):
    """From when to when, and of what."""

    since: str | None = Field(None, description=f"periods that start from then on: {MOMENT}; none: all there are")
    until: str | None = Field(None, description="and before then, written likewise; none: now")
    function: str | None = Field(None, description="of this function alone")

    def moments(self) -> tuple[float | None, float, float]:
        """Return since, until and now in Unix seconds, by Redis' clock."""
        now = redis_time(services().redis)
        since, until = parse_moment("since", self.since, now), parse_moment("until", self.until, now)
        if since is not None and since >= (now if until is None else until):
            raise InvalidRequest(
                "since: nothing lies between it and until (none: now); let it be earlier", param="since"
            )
        return since, now if until is None else until, now


class UsageQuery(Span):
    """What rows are told apart by."""

    by: str = Field(
        "function,phase", description="any of function, version, backend, node, device, key, phase, with commas between"
    )


class FocusQuery(Span):
    """What a second costs: an offer's price, or an hour of a machine of one's own."""

    price: str | None = Field(None, description="id of an offer in the price files")
    hourly_usd: float | None = Field(None, ge=0, allow_inf_nan=False, description="of each hour of an instance, in USD")
    vcpus: float = Field(1.0, gt=0, allow_inf_nan=False, description="that an instance has, for offers that bill them")


@api.get("", responses={200: Page[UsageRow]})
def read_usage(query: UsageQuery) -> Response:
    """Add up what was used, a row for each of what `by` tells apart.

    By phase, what has none (tokens, requests, bytes fetched) stands in rows of phase "". Rows add up to the whole.
    """
    since, until, now = query.moments()
    by = parse_by(name.strip() for name in query.by.split(",") if name.strip())
    end = None if until == now else until
    return page(added_up(in_turns(_store().records(since, end)), by, query.function))


@api.get("/focus", responses={200: Page[FocusRow]})
def read_focus(query: FocusQuery) -> Response:
    """Price what was used, as rows of a FOCUS 1.3 cost and usage file: one a day, version, key and phase."""
    since, until, now = query.moments()
    tariff = _tariff(query)
    records = in_turns(_store().records(since, None if until == now else until))
    wanted = (r for r in records if query.function in (None, r.subject.function))
    names = {key.id: key.name for key in services().keys.list()}
    return jsonify({"object": "list", "data": focus_rows(wanted, since, until, tariff, names)})


def _store() -> UsageStore:
    found = services()
    return UsageStore(found.redis, found.settings.usage_retention)


def _tariff(query: FocusQuery) -> Tariff:
    if (query.price is None) == (query.hourly_usd is None):
        raise InvalidRequest(
            "say what a second costs: either price (an offer; `quickthaw prices ls` lists them) or hourly_usd (of a "
            "machine of your own; 0 for a file without costs)",
            param="price",
        )
    if query.price is not None:
        return tariffs.offered(query.price, query.vcpus, services().settings.own_prices_dir)
    return tariffs.own_machine(query.hourly_usd or 0.0)
