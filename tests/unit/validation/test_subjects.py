"""What is validated: by which options it is told apart, and that a function keeps those it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from quickthaw import Client
from quickthaw.errors import InvalidRequest
from quickthaw.types import FunctionInfo, FunctionSpec, Version
from quickthaw_platform.traffic.target import Target
from quickthaw_platform.validation.asking import PATH
from quickthaw_platform.validation.result import Subject
from quickthaw_platform.validation.subjects import Making, Served, served
from tests.unit.sdk.fake_gateway import NO_WAIT, URL, FakeGateway


def identity(**options: Any) -> str:
    subject = Subject(digest="c1", engine="transformers", model="m", options=options)
    return Served(Target(URL, "validate-1", PATH), subject, 64, 2).identity


def test_scores_of_another_precision_are_never_taken_for_these_when_a_run_goes_on() -> None:
    assert identity(compute="mixed", exact=False) == identity(exact=False, compute="mixed")
    assert len({identity(), identity(compute="mixed"), identity(compute="mixed", exact=False)}) == 3


def test_options_for_a_function_are_refused_as_it_has_its_own(tmp_path: Path) -> None:
    function = FunctionInfo(
        name="chat", model="tiny", engine="transformers", versions=1, aliases={"live": {"v1": 1.0}}, instances=0,
        running=0, waiting=0, created_at=1.0,
    )  # fmt: skip
    spec = FunctionSpec(name="chat", model="tiny")
    version = Version(id="v1", function="chat", number=1, checkpoint="c1", created_at=1.0, spec=spec)
    versions = {"data": [version.model_dump(mode="json")]}
    gateway = FakeGateway([httpx.Response(200, json=answer) for answer in (function.model_dump(mode="json"), versions)])
    client = Client(URL, "qt-key", backoff=NO_WAIT, transport=gateway.transport)
    making = Making(options={"compute": "mixed"})
    with (
        pytest.raises(InvalidRequest, match="chat is a function, which has engine options of its own"),
        served(client, "chat", making, tmp_path, print),
    ):
        pass
