"""One platform a module; the functions that its tests call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw import FunctionSpec
from quickthaw_platform.contracts import Checkpoint
from tests.acceptance.cluster import Cluster, running
from tests.integration.worker.node_process import MODEL, write_checkpoint

ECHO_OPTIONS = {"token_delay": "2ms"}


@pytest.fixture(scope="session")
def checkpoints(published_models: dict[str, Checkpoint], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real chat and embedding models, and an empty checkpoint for the echo engine."""
    folder = tmp_path_factory.mktemp("checkpoints") / "checkpoints"
    write_checkpoint(folder)
    for checkpoint in published_models.values():
        shutil.copytree(checkpoint.path, folder / checkpoint.path.name, copy_function=os.link)
    return folder


@pytest.fixture(scope="module")
def cluster(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A platform that is up, with the functions `echo`, `slow` (echo, 20 tokens a second) and `chat` (SmolLM2)."""
    data_dir = tmp_path_factory.mktemp("cluster")
    (data_dir / "checkpoints").symlink_to(checkpoints)
    for cluster in running(data_dir, webhook_allow="127.0.0.1"):
        client = cluster.client
        client.deploy(FunctionSpec(name="echo", model=MODEL, engine="echo", options=ECHO_OPTIONS, concurrency=64))
        client.deploy(FunctionSpec(name="slow", model=MODEL, engine="echo", options={"token_delay": "50ms"}))
        client.deploy(FunctionSpec(name="chat", model="smollm2-135m-instruct", memory="512MiB"))
        yield cluster
