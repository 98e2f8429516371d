"""The processes of a platform on one host: one table for `quickthaw up` and the Procfile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from quickthaw_platform.redis_roles import Role


class Process(NamedTuple):
    """A process by its plain command; `scaled` ones may run several times on a host."""

    role: Role
    command: str
    scaled: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return self.role.value


_CELERY = "celery --quiet --app quickthaw_platform.worker.celery_app"

PROCESSES = (
    Process(
        Role.GATEWAY,
        "gunicorn --config python:quickthaw_platform.gateway.gunicorn_conf quickthaw_platform.gateway.wsgi:app",
    ),
    Process(Role.WORKER, "quickthaw worker", scaled=True),
    Process(
        Role.CONTROLLER,
        f"{_CELERY} worker --queues controller --hostname controller@%h --pool threads --concurrency 4 "
        "--without-gossip --without-mingle --without-heartbeat",
    ),
    Process(Role.BEAT, f"{_CELERY} beat --scheduler quickthaw_platform.controller.beat.ControllerBeat"),
)


def procfile(processes: Iterable[Process] = PROCESSES) -> str:
    """Return the text of the Procfile."""
    return "".join(f"{process.name}: {process.command}\n" for process in processes)
