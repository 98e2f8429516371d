"""Old usage is rolled up: the round that keeps it small."""

from __future__ import annotations

import structlog

from quickthaw_platform.controller.clock import redis_time
from quickthaw_platform.controller.context import Context
from quickthaw_platform.metering.usage.rolling import RollUp

_log = structlog.get_logger()


def roll_up_usage(context: Context) -> None:
    """Roll up the hours that ended longer ago than detail is kept."""
    settings = context.settings
    roll_up = RollUp(context.redis, detail_seconds=settings.usage_detail, retention_seconds=settings.usage_retention)
    done = roll_up.round(redis_time(context.redis))
    if done:
        _log.info("usage was rolled up", records=done)
