"""The Celery application: commands to nodes and the controller's periodic tasks. `celery -A` finds `app` here."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import beat_init, setup_logging, worker_ready
from kombu import Queue

from quickthaw_platform import collecting, signals
from quickthaw_platform import settings as settings_module
from quickthaw_platform.controller.schedule import beat_config
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.hidden_memory import hide_memory
from quickthaw_platform.metering import logs
from quickthaw_platform.redis_roles import Role, settings_of
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker import broker
from quickthaw_platform.worker.bootstep import AgentStep
from quickthaw_platform.worker.commands import queue_of

# Celery tells root to use an option that our commands do not have; `quickthaw worker` says it in its own words.
warnings.filterwarnings("ignore", message=r"\s*You're running the worker with superuser", category=SecurityWarning)

TASK_MODULES = (
    "quickthaw_platform.worker.tasks",
    "quickthaw_platform.controller.tasks",
    "quickthaw_platform.gateway.webhook_tasks",
)
VISIBILITY_SECONDS = 3600
"""When an unacknowledged command is given to someone again; commands may come twice, so this may be wrong."""


def make_app(settings: Settings) -> Celery:
    """Build the application. Raises SettingsInvalid when no Redis is configured."""
    if settings.redis_url is None:
        raise SettingsInvalid("redis_url is not set; start with `quickthaw up`, or set QUICKTHAW_REDIS_URL")
    broker.install()
    app = Celery("quickthaw", broker=broker.url(settings.redis_url), include=TASK_MODULES)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        result_backend_thread_safe=True,  # what stands for none is made once, and not for each request's greenlet
        task_ignore_result=True,
        task_acks_late=False,
        # A command that gets lost is sent again by the controller, so this node's are not kept for redelivery: that
        # would cost each of them two more round trips.
        task_queues=[Queue(queue_of(settings.node), routing_key=queue_of(settings.node), no_ack=True)],
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"visibility_timeout": VISIBILITY_SECONDS},
        **beat_config(settings),
    )
    app.steps["worker"].add(AgentStep)
    return app


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    signals.unblock()  # Celery sets its own handlers, but where its parent blocked signals it hears none
    logs.configure(settings_module.load().log_level, _role())
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)  # two lines for each command, at hundreds a second


@beat_init.connect
@worker_ready.connect
def _started(**_: Any) -> None:
    # Celery would restart the worker at SIGHUP, and beat would die of it. Logs need no signal: see metering.log_file.
    signal.signal(signal.SIGHUP, lambda *_: None)
    collecting.started()


def _role() -> Role:
    """Which of the processes that Celery runs this one is, by its command line."""
    return next((role for role in (Role.BEAT, Role.CONTROLLER) if role in sys.argv), Role.WORKER)


def __getattr__(name: str) -> Celery:
    """Build `app` when it is first asked for, so that importing this module needs no settings."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    hide_memory()
    globals()["app"] = make_app(settings_of(_role()))
    made: Celery = globals()["app"]
    return made
