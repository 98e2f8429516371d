"""The node agent's place in a Celery worker: it starts before commands are consumed and drains at a warm shutdown."""

from __future__ import annotations

import resource
import signal
import threading
from types import FrameType
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state

from quickthaw_platform import redis_client
from quickthaw_platform.redis_roles import Role, settings_of
from quickthaw_platform.worker import current
from quickthaw_platform.worker.agent import Agent
from quickthaw_platform.worker.commands import QUEUE_PREFIX, Commands

_log = structlog.get_logger()


class AgentStep(bootsteps.StartStopStep):
    """Runs an agent in workers that consume a node's queue, and in no others (the controller's)."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self.agent: Agent | None = None

    def include_if(self, parent: Any) -> bool:
        """Whether the worker is a node's."""
        return any(name.startswith(QUEUE_PREFIX) for name in parent.app.amqp.queues.consume_from)

    def start(self, parent: Any) -> None:
        """Start the agent and take over SIGTERM and SIGINT, so that commands (cancel!) still come while it drains."""
        _raise_limit_of_files()
        settings = settings_of(Role.WORKER)
        self.agent = Agent(settings, redis_client.connect(settings), Commands(parent.app))
        self.agent.start()
        current.set_agent(self.agent)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_end)

    def stop(self, parent: Any) -> None:  # noqa: ARG002
        """End the agent with all its processes."""
        if self.agent is not None:
            self.agent.stop()

    def terminate(self, parent: Any) -> None:
        """End the agent with all its processes."""
        self.stop(parent)

    def _asked_to_end(self, _number: int, _frame: FrameType | None) -> None:
        """The first signal drains; a second one ends what still runs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: _end_worker())
        threading.Thread(target=self._drain, name="agent-drain", daemon=True).start()

    def _drain(self) -> None:
        _log.info("draining")
        try:
            if self.agent is not None:
                self.agent.drain()
        finally:
            _end_worker()


def _raise_limit_of_files() -> None:
    """Let this process open as many files as its user may, so that it can always pass descriptors on.

    The kernel counts those that are on their way by user, and refuses to send one where there are more than the sender
    may have open: functions of that user can have as many on their way as *they* may have open.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _end_worker() -> None:
    """Have Celery's consumer end at its next turn, which is at most a second away."""
    setattr(state, "should_stop", 0)  # noqa: B010 - Celery's stubs declare None, its code means an exit status
