"""gunicorn's configuration: `gunicorn --config python:quickthaw_platform.gateway.gunicorn_conf …wsgi:app`."""

from __future__ import annotations

import os
from typing import Any

from quickthaw_platform import settings as settings_module
from quickthaw_platform import signals
from quickthaw_platform.hidden_memory import hide_memory

hide_memory()
signals.unblock()  # gunicorn sets its own handlers, but where its parent blocked signals it hears none
_settings = settings_module.load()

bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
workers = _settings.gateway_workers
worker_class = "quickthaw_platform.gateway.draining_worker.DrainingWorker"
worker_connections = 10_000
# A gevent worker beats on its own, whatever its streams do: this catches only a worker whose loop stands still.
timeout = 60
graceful_timeout = max(1, int(_settings.drain_timeout))
keepalive = 65  # longer than the 60 s after which common load balancers drop an idle connection
accesslog = None  # the metrics count requests; one line a token stream says little
errorlog = "-"
logger_class = "quickthaw_platform.gateway.gunicorn_logger.GunicornLogger"
loglevel = _settings.log_level
control_socket_disable = True
umask = 0o077  # what it writes is for its own user only


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001  (the hook's signature)
    """Drop the gauges of a worker that is gone; its counters stay in the sums."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # the package leaves it unannotated
