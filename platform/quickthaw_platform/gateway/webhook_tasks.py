"""The Celery task that delivers webhooks, on the queue `controller`: it needs no gateway to be alive."""

from __future__ import annotations

from functools import cache

import structlog
from celery import shared_task

from quickthaw_platform.controller.schedule import DELIVER_WEBHOOKS
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.gateway.webhook_delivery import WebhookDelivery
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.redis_client import connect
from quickthaw_platform.redis_roles import Role, settings_of

_log = structlog.get_logger()


@shared_task(name=DELIVER_WEBHOOKS)
def deliver_task() -> None:
    """Begin what is due."""
    try:
        _delivery().start_due()
    except Unavailable as error:
        _log.warning("no webhooks this round", error=error.message)


@cache
def _delivery() -> WebhookDelivery:
    configured = settings_of(Role.CONTROLLER)
    redis = connect(configured)
    return WebhookDelivery(redis, InvocationStore(redis, configured), configured)
