from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform.settings import Settings
from tests.integration.gateway.processes import GatewayProcess, PlayedNode
from tests.valkey_process import ValkeyProcess

PAGE = "http://localhost:3000"
GATEWAY_SETTINGS = {"sse_keepalive": "1s", "max_body": "1MB", "drain_timeout": "5s", "cors_origins": PAGE}


@pytest.fixture(scope="module")
def gateway_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyProcess]:
    """The Valkey of this module's gateway; a test may kill it and must start it again."""
    server = ValkeyProcess(tmp_path_factory.mktemp("valkey"), durable=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared_gateway(gateway_valkey: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway for the module: two workers take seconds to import."""
    server = GatewayProcess(gateway_valkey, tmp_path_factory.mktemp("gateway"), **GATEWAY_SETTINGS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def node(gateway_valkey: ValkeyProcess, tmp_path: Path) -> Iterator[PlayedNode]:
    """A node on an emptied Valkey."""
    played = PlayedNode(gateway_valkey, Settings(redis_url=gateway_valkey.url, data_dir=tmp_path))
    played.redis.flushall()
    played.open()
    yield played
    played.close()


@pytest.fixture
def gateway(shared_gateway: GatewayProcess, node: PlayedNode) -> GatewayProcess:
    """The gateway, running, in front of `node`."""
    if shared_gateway.process is None:
        shared_gateway.start()
    return shared_gateway


@pytest.fixture
def key(node: PlayedNode) -> str:
    return node.key()
