"""Streams that are disturbed: moved in each of their lives, or cut off from their instance."""

from __future__ import annotations

import signal

import psutil

from quickthaw import EventType, Invocation, InvocationState
from quickthaw.errors import Conflict
from tests.acceptance.cluster import Cluster
from tests.process_facts import folder_of


def move_again_and_again(cluster: Cluster, call: Invocation) -> None:
    """Follow a stream to its end, and have it move to another node once in each of its lives."""
    asked: set[int] = set()
    for event in call.events():
        status = call.status()
        if event.type is EventType.CHUNK and status.epoch not in asked and status.state is InvocationState.RUNNING:
            asked.add(status.epoch)
            try:
                cluster.client.migrate(call.id)
            except Conflict:
                assert call.status().state.ended


def kill_the_instance_of(call: Invocation) -> None:
    """Kill the process that serves a call."""
    instance = call.status().instance
    for process in psutil.process_iter(["name"]):
        folder = folder_of(process) if process.info["name"] == "qt-instance" else None
        if folder is not None and folder.parent.name == instance:
            process.send_signal(signal.SIGKILL)
