"""When the controller's rounds run: what Celery beat is told."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.settings import Settings

QUEUE = "controller"
ROUND = "quickthaw.controller.round"
SERVE = "quickthaw.controller.serve"
"""Part of each round, and sent by whoever makes something wait."""

ROLL_UP = "quickthaw.controller.roll_up"
DELIVER_WEBHOOKS = "quickthaw.webhooks.deliver"
"""Sent by a round that finds one due."""

INTERVALS = {ROUND: 1, ROLL_UP: 60}
"""What is sent, and every how many of the settings' intervals. Each message costs milliseconds of processor time."""

BEAT_LOCK_SECONDS = 5
"""A beat that died is replaced by a waiting one after so long."""


def beat_config(settings: Settings) -> dict[str, Any]:
    """Return the Celery settings that schedule the rounds, for `app.conf.update`."""
    interval = settings.controller_interval
    return {
        "beat_schedule": {name: _entry(name, count * interval) for name, count in INTERVALS.items()},
        "beat_max_loop_interval": min(1.0, interval),
        "redbeat_redis_url": settings.redis_url,
        "redbeat_redis_options": {"socket_timeout": 5.0, "socket_connect_timeout": 2.0},
        "redbeat_key_prefix": f"{RedisKey.REDBEAT}:",
        "redbeat_lock_timeout": BEAT_LOCK_SECONDS,
    }


def _entry(name: str, seconds: float) -> dict[str, Any]:
    """Return when a task is sent; of messages that piled up, the latest are enough."""
    return {"task": name, "schedule": seconds, "options": {"queue": QUEUE, "expires": max(2.0, 2 * seconds)}}
