"""What a node says of checkpoints that the remote tier does not take."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.remote.checkpoints import RemoteCheckpoints
from quickthaw_platform.checkpoints.tiers import status
from quickthaw_platform.errors import RemoteUnavailable
from quickthaw_platform.router.view import _tiers
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.checkpoints import NodeCheckpoints
from tests.unit.checkpoints.models import save_llama


def test_a_push_that_fails_is_told_holds_up_no_other_and_is_tried_again(
    redis: Redis, platform_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = platform_settings.model_copy(update={"remote": str(tmp_path / "remote")})
    made = NodeCheckpoints(
        settings, redis, drop_templates=lambda _: None, on_failed=lambda _id, _error: None, on_change=lambda: None
    )
    save_llama(tmp_path / "source")
    ids = [import_checkpoint(str(tmp_path / "source"), made.disk, name, None).checkpoint.id for name in ("a", "b")]
    push = RemoteCheckpoints.push

    def refusing(self: RemoteCheckpoints, checkpoint: Any, *arguments: Any) -> None:
        if checkpoint.id == ids[0]:
            raise RemoteUnavailable("s3://bucket/a: 501 Not Implemented")
        push(self, checkpoint, *arguments)

    with contextlib.closing(made.tiers):
        with monkeypatch.context() as patch:
            patch.setattr(RemoteCheckpoints, "push", refusing)
            made._round()
        assert made.push_failures == {ids[0]: "s3://bucket/a: 501 Not Implemented"}
        seen = _tiers(status.describe(made.tiers, made.push_failures), frozenset())
        assert seen.push_failures == made.push_failures
        assert (tmp_path / "remote" / ids[1] / "manifest.json").is_file()
        made._round()
        assert made.push_failures == {}
        assert json.loads(status.describe(made.tiers, made.push_failures))["push_failures"] == {}
        assert (tmp_path / "remote" / ids[0] / "manifest.json").is_file()


def test_what_cannot_be_pushed_as_the_remote_tier_is_out_of_reach_is_told(
    redis: Redis, platform_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = platform_settings.model_copy(update={"remote": str(tmp_path / "remote")})
    made = NodeCheckpoints(
        settings, redis, drop_templates=lambda _: None, on_failed=lambda _id, _error: None, on_change=lambda: None
    )
    save_llama(tmp_path / "source")
    identity = import_checkpoint(str(tmp_path / "source"), made.disk, "a", None).checkpoint.id

    def away(_: RemoteCheckpoints) -> list[str]:
        raise RemoteUnavailable("s3://bucket: connection refused")

    with contextlib.closing(made.tiers):
        with monkeypatch.context() as patch:
            patch.setattr(RemoteCheckpoints, "ids", away)
            made._round()
        assert made.push_failures == {identity: "s3://bucket: connection refused"}
        made._round()
        assert made.push_failures == {}
