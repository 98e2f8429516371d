"""What the catalogue says of checkpoints."""

from __future__ import annotations

from redis import Redis

from quickthaw.resources import CheckpointInfo
from quickthaw_platform.registry.catalogue import Catalogue


def test_what_a_checkpoint_does_is_known_from_when_a_node_announced_it_on(redis: Redis) -> None:
    catalogue = Catalogue(redis)
    assert catalogue.task("c1") is None
    catalogue.announce([CheckpointInfo(id="c1", name="tiny", task="embed", bytes=1, context_tokens=8)])
    assert catalogue.task("c1") == "embed"
    catalogue.withdraw("c1")
    assert catalogue.task("c1") == "embed"
    assert Catalogue(redis).task("c1") is None
