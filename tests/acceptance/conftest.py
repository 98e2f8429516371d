"""The platforms that files share (see `shared`), and the functions that most of them call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from quickthaw import FunctionSpec
from quickthaw_platform.contracts import Checkpoint
from tests.acceptance.cluster import EAST_AND_WEST, Cluster
from tests.acceptance.shared import SharedPlatform
from tests.acceptance.small_disks import SmallDisks
from tests.integration.worker.echo_checkpoint import MODEL, write_checkpoint
from tests.two_ended import SHARED_PLATFORMS

ECHO_OPTIONS = {"token_delay": "2ms"}
SHARED = pytest.StashKey[SharedPlatform]()


@pytest.fixture(scope="session")
def checkpoints(published_models: dict[str, Checkpoint], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real chat and embedding models, and an empty checkpoint for the echo engine."""
    folder = tmp_path_factory.mktemp("checkpoints") / "checkpoints"
    write_checkpoint(folder)
    for checkpoint in published_models.values():
        shutil.copytree(checkpoint.path, folder / checkpoint.path.name, copy_function=os.link)
    return folder


@pytest.fixture(scope="session")
def shared_platform(request: pytest.FixtureRequest) -> Iterator[SharedPlatform]:
    """The platform that runs for several files, or none."""
    shared = request.config.stash[SHARED] = SharedPlatform()
    yield shared
    shared.close()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the shared platform when the next test has no use for one."""
    wanted = set(getattr(nextitem, "fixturenames", ()))
    if SHARED in item.config.stash and not wanted & set(SHARED_PLATFORMS):
        item.config.stash[SHARED].close()


@pytest.fixture
def openai(cluster: Cluster) -> Iterator[OpenAI]:
    """OpenAI's own client of the file's platform; it tries nothing twice."""
    with OpenAI(base_url=f"{cluster.url}/v1", api_key=cluster.api_key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def one_node(
    shared_platform: SharedPlatform, checkpoints: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A platform of one node, as it is without settings, with nothing on it."""

    def make() -> Cluster:
        data_dir = tmp_path_factory.mktemp("cluster")
        (data_dir / "checkpoints").symlink_to(checkpoints)
        return Cluster(data_dir, webhook_allow="127.0.0.1")

    with shared_platform.lent("one_node", make) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def two_nodes(
    shared_platform: SharedPlatform, checkpoints: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A platform of the nodes `a` and `b`, which share a disk, with nothing on it."""

    def make() -> Cluster:
        data_dir = tmp_path_factory.mktemp("two-nodes")
        (data_dir / "checkpoints").symlink_to(checkpoints)
        file = data_dir / "workers.toml"
        file.write_text(EAST_AND_WEST.replace("own_disks = true", ""))
        return Cluster(data_dir, workers_file=file, egress_allow="127.0.0.0/8")

    with shared_platform.lent("two_nodes", make) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def small_disks(shared_platform: SharedPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisks]:
    """A platform of one node on small disks, with nothing on it but the checkpoint `tiny`."""

    def make() -> SmallDisks:
        return SmallDisks(tmp_path_factory.mktemp("small-disks"))

    with shared_platform.lent("small_disks", make) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cluster(one_node: Cluster) -> Cluster:
    """A platform that is up, with the functions `echo`, `slow` (echo, 20 tokens a second) and `chat` (SmolLM2)."""
    client = one_node.client
    client.deploy(FunctionSpec(name="echo", model=MODEL, engine="echo", options=ECHO_OPTIONS, concurrency=64))
    client.deploy(FunctionSpec(name="slow", model=MODEL, engine="echo", options={"token_delay": "50ms"}))
    client.deploy(FunctionSpec(name="chat", model="smollm2-135m-instruct", memory="512MiB"))
    return one_node
