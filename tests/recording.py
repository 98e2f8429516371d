"""Commands that are noted instead of sent."""

from __future__ import annotations

from quickthaw_platform.invocations.records import Offer


class RecordingCommands:
    """Takes the place of worker.commands.Commands; `sent` holds what was commanded, in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []

    def start(self, node: str, instance: str, version_id: str) -> None:
        self.sent.append(("start", node, instance, version_id))

    def receive(self, offer: Offer) -> None:
        self.sent.append(("receive", offer.node, offer.instance, offer.invocation))

    def cancel(self, node: str, invocation: str) -> None:
        self.sent.append(("cancel", node, invocation))

    def stop(self, node: str, instance: str) -> None:
        self.sent.append(("stop", node, instance))

    def serve(self) -> None:
        self.sent.append(("serve",))

    def deliver_webhooks(self) -> None:
        self.sent.append(("deliver_webhooks",))

    def take(self, name: str | None = None) -> list[tuple[str, ...]]:
        """Return what was sent (only commands called `name`) and begin anew."""
        taken, self.sent = self.sent, []
        return [command for command in taken if name in (None, command[0])]
