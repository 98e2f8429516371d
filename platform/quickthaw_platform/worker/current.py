"""The agent of this process, for the tasks that command it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quickthaw_platform.worker.agent import Agent

_agents: list[Agent] = []


def set_agent(agent: Agent) -> None:
    """Make `agent` the one that commands go to."""
    _agents[:] = [agent]


def agent() -> Agent:
    """Return this process's agent. Raises RuntimeError in a worker that is no node."""
    if not _agents:
        raise RuntimeError("this worker consumes no node's queue, so it has no agent to command")
    return _agents[0]
