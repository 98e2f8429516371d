"""The commands that a node takes, as Celery tasks on its queue: quick, acknowledged early, harmless when repeated."""

from __future__ import annotations

from celery import shared_task

from quickthaw_platform.checkpoints.tiers.resident import Tier
from quickthaw_platform.worker import commands, current


@shared_task(name=commands.START)
def start(instance: str, version_id: str) -> None:
    """Start an instance that has been reserved on this node."""
    current.agent().start_instance(instance, version_id)


@shared_task(name=commands.CANCEL)
def cancel(invocation: str, before_epoch: int | None = None) -> None:
    """Stop working on an invocation that has ended, or that this node owned before an epoch."""
    current.agent().cancel(invocation, before_epoch)


@shared_task(name=commands.RECEIVE)
def receive(invocation: str, epoch: int, instance: str) -> None:
    """Take over an invocation that runs on another node."""
    current.agent().receive(invocation, epoch, instance)


@shared_task(name=commands.STOP)
def stop(instance: str) -> None:
    """Stop an instance when what runs on it has ended."""
    current.agent().stop_instance(instance)


@shared_task(name=commands.DRAIN)
def drain() -> None:
    """Take nothing new on this node."""
    current.agent().drain_node()


@shared_task(name=commands.FORGET_CHECKPOINT)
def forget_checkpoint(checkpoint: str) -> None:
    """Drop a checkpoint's templates and delete it from every tier that this node reaches."""
    current.agent().checkpoints.forget(checkpoint)


@shared_task(name=commands.PULL_CHECKPOINT)
def pull_checkpoint(checkpoint: str) -> None:
    """Bring a checkpoint into this node's memory, and onto its disk."""
    current.agent().checkpoints.pull(checkpoint)


@shared_task(name=commands.EVICT_CHECKPOINT)
def evict_checkpoint(checkpoint: str, tier: Tier) -> None:
    """Drop a checkpoint from this node's memory, or from memory and disk."""
    current.agent().checkpoints.evict(checkpoint, tier)
