from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform.contracts import Engine
from tests.contract.engines import KINDS, Kind, kind_named, started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, folder: Path) -> Kind:
    return kind_named(request.param, folder)


@pytest.fixture(scope="module")
def engine(kind: Kind) -> Iterator[Engine]:
    engine = started(kind)
    yield engine
    engine.close()


@pytest.fixture
def prompt(engine: Engine) -> list[int]:
    return engine.tokenizer.encode("Größe: 3 € – and so on, and so forth.")
