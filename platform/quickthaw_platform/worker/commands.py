"""Commands to nodes, sent by name: light enough for the gateway, which has no worker code."""

from __future__ import annotations

from celery import Celery
from kombu.exceptions import OperationalError

from quickthaw_platform.controller.schedule import DELIVER_WEBHOOKS, SERVE
from quickthaw_platform.controller.schedule import QUEUE as CONTROLLER
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.outage import OUTAGE
from quickthaw_platform.invocations.records import Offer

QUEUE_PREFIX = "node."

START = "quickthaw.start"
CANCEL = "quickthaw.cancel"
RECEIVE = "quickthaw.receive"
STOP = "quickthaw.stop"
DRAIN = "quickthaw.drain"
FORGET_CHECKPOINT = "quickthaw.forget_checkpoint"
PULL_CHECKPOINT = "quickthaw.pull_checkpoint"
EVICT_CHECKPOINT = "quickthaw.evict_checkpoint"


def queue_of(node: str) -> str:
    """Return the name of a node's queue."""
    return f"{QUEUE_PREFIX}{node}"


class Commands:
    """Sends commands. A command may be lost or come twice: Redis' records decide, and the controller sends again.

    Every method raises Unavailable when the broker does not answer.
    """

    def __init__(self, celery_app: Celery) -> None:
        self._app = celery_app

    def start(self, node: str, instance: str, version_id: str) -> None:
        """Have a node start an instance that is reserved on it."""
        self._send(node, START, instance=instance, version_id=version_id)

    def cancel(self, node: str, invocation: str, *, before_epoch: int | None = None) -> None:
        """Have a node stop working on an invocation that has ended or, with an epoch, has an owner since that one.

        A node that owns it again since then goes on: the command may come late.
        """
        since = {} if before_epoch is None else {"before_epoch": before_epoch}
        self._send(node, CANCEL, invocation=invocation, **since)

    def receive(self, offer: Offer) -> None:
        """Have the offered instance's node take an invocation over."""
        self._send(offer.node, RECEIVE, invocation=offer.invocation, epoch=offer.epoch, instance=offer.instance)

    def serve(self) -> None:
        """Have the controller bring instances to what waits now, rather than at its next round."""
        self._send_to(CONTROLLER, SERVE)

    def deliver_webhooks(self) -> None:
        """Have a controller send the webhooks that are due."""
        self._send_to(CONTROLLER, DELIVER_WEBHOOKS)

    def stop(self, node: str, instance: str) -> None:
        """Have a node stop an instance when what runs on it has ended."""
        self._send(node, STOP, instance=instance)

    def drain(self, node: str) -> None:
        """Have a node take nothing new."""
        self._send(node, DRAIN)

    def forget_checkpoint(self, node: str, checkpoint: str) -> None:
        """Have a node delete a checkpoint from every tier that it reaches."""
        self._send(node, FORGET_CHECKPOINT, checkpoint=checkpoint)

    def pull_checkpoint(self, node: str, checkpoint: str) -> None:
        """Have a node bring a checkpoint into its memory, and onto its disk."""
        self._send(node, PULL_CHECKPOINT, checkpoint=checkpoint)

    def evict_checkpoint(self, node: str, checkpoint: str, tier: str) -> None:
        """Have a node drop a checkpoint from its memory (`dram`), or from memory and disk (`disk`)."""
        self._send(node, EVICT_CHECKPOINT, checkpoint=checkpoint, tier=tier)

    def _send(self, node: str, name: str, **arguments: str | int) -> None:
        self._send_to(queue_of(node), name, **arguments)

    def _send_to(self, queue: str, name: str, **arguments: str | int) -> None:
        # Without the last three Celery declares the queue each time, as its worker does anyway, and writes the
        # arguments twice, once for monitors to show.
        try:
            self._app.send_task(
                name, kwargs=arguments, queue=queue, ignore_result=True, declare=(), argsrepr="", kwargsrepr=""
            )
        except (OperationalError, *OUTAGE) as error:
            raise Unavailable(f"the command queue does not answer: {error}") from error
