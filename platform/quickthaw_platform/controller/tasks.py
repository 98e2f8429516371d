"""The controller's rounds as Celery tasks; `schedule.py` says when they run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import structlog
from celery import current_app, shared_task

from quickthaw_platform import plugins
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.guard import alone
from quickthaw_platform.controller.keep_alive import retire_idle
from quickthaw_platform.controller.queues import serve
from quickthaw_platform.controller.schedule import ROLL_UP, ROUND, SERVE
from quickthaw_platform.controller.sweep import sweep
from quickthaw_platform.controller.usage import roll_up_usage
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_client import connect
from quickthaw_platform.redis_roles import Role, settings_of
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.worker.commands import Commands

_log = structlog.get_logger()


@shared_task(name=ROUND)
def round_task() -> None:
    """End what nobody else would end, bring instances to what waits, and stop those that were idle for long enough."""
    _round("sweep", sweep)
    _round("serve", serve)
    _round("retire", retire_idle)


@shared_task(name=SERVE)
def serve_task() -> None:
    """Bring instances to what waits."""
    _round("serve", serve)


@shared_task(name=ROLL_UP)
def roll_up_task() -> None:
    """Keep old usage in fewer records."""
    _round("roll_up", roll_up_usage)


def _round(name: str, work: Callable[[Context], None]) -> None:
    context = _context()
    try:
        with outage_is_unavailable(), alone(context.redis, name) as mine:
            if mine:
                work(context)
    except QuickthawError as error:
        _log.warning("the round was cut short; the next one goes on", round=name, error=error.message)


@cache
def _context() -> Context:
    """Return this process's context, made at its first round."""
    configured = settings_of(Role.CONTROLLER)
    redis = connect(configured)
    return Context.make(
        redis,
        configured,
        Commands(current_app),
        FunctionRegistry(redis),
        plugins.allocation_policy(configured.allocation_policy),
        plugins.keep_alive_policy(configured.keep_alive_policy),
    )
