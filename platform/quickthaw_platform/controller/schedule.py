"""When the controller's rounds run: what Celery beat is told."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.settings import Settings

QUEUE = "controller"
SWEEP = "quickthaw.controller.sweep"
SERVE = "quickthaw.controller.serve"
RETIRE = "quickthaw.controller.retire"
ROLL_UP = "quickthaw.controller.roll_up"
DELIVER_WEBHOOKS = "quickthaw.webhooks.deliver"

ROUNDS = (SWEEP, SERVE, RETIRE, ROLL_UP, DELIVER_WEBHOOKS)

BEAT_LOCK_SECONDS = 5
"""A beat that died is replaced by a waiting one after so long."""


def beat_config(settings: Settings) -> dict[str, Any]:
    """Return the Celery settings that schedule the rounds, for `app.conf.update`."""
    interval = settings.controller_interval
    options = {"queue": QUEUE, "expires": max(2.0, 2 * interval)}  # of rounds that piled up, the latest are enough
    return {
        "beat_schedule": {name: {"task": name, "schedule": interval, "options": options} for name in ROUNDS},
        "beat_max_loop_interval": min(1.0, interval),
        "redbeat_redis_url": settings.redis_url,
        "redbeat_redis_options": {"socket_timeout": 5.0, "socket_connect_timeout": 2.0},
        "redbeat_key_prefix": f"{RedisKey.REDBEAT}:",
        "redbeat_lock_timeout": BEAT_LOCK_SECONDS,
    }
