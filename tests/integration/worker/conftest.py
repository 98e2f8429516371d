"""One worker for a module's tests that do not kill it, and fresh ones for those that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worker.node_process import NodeProcess, running_node
from tests.valkey_process import ValkeyProcess

MakeNode = Callable[..., NodeProcess]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A running worker, shared by the module's tests."""
    with running_node(tmp_path_factory.mktemp("node"), max_output=1 << 20) as worker:
        yield worker


@pytest.fixture
def make_node(tmp_path: Path, own_valkey: ValkeyProcess) -> Iterator[MakeNode]:
    """Start workers of this test's own."""
    made: list[NodeProcess] = []

    def make(**settings: Any) -> NodeProcess:
        worker = NodeProcess(own_valkey.url, tmp_path / "data", **settings)
        made.append(worker)
        worker.start()
        return worker

    yield make
    for worker in made:
        worker.stop()
        worker.redis.close()
