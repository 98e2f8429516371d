"""The processes of a platform on one host: one table for `quickthaw up` and the Procfile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Process(NamedTuple):
    """A process by its plain command; `scaled` ones may run several times on a host."""

    name: str
    command: str
    scaled: bool = False


_CELERY = "celery --quiet --app quickthaw_platform.worker.celery_app"

PROCESSES = (
    Process(
        "gateway",
        "gunicorn --config python:quickthaw_platform.gateway.gunicorn_conf quickthaw_platform.gateway.wsgi:app",
    ),
    Process("worker", "quickthaw worker", scaled=True),
    Process(
        "controller",
        f"{_CELERY} worker --queues controller --hostname controller@%h --pool threads --concurrency 4 "
        "--without-gossip --without-mingle --without-heartbeat",
    ),
    Process("beat", f"{_CELERY} beat --scheduler quickthaw_platform.controller.beat.ControllerBeat"),
)


def procfile(processes: Iterable[Process] = PROCESSES) -> str:
    """Return the text of the Procfile."""
    return "".join(f"{process.name}: {process.command}\n" for process in processes)
