"""The pages that a newcomer reads first: their commands, run in order as they are written (see `documents`)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform.commands.ports import claim_port
from tests.acceptance.cluster import ROOT
from tests.acceptance.documents import UNTIL_INTERRUPT, Block, Machine, Terminal, blocks
from tests.valkey_process import ValkeyProcess

UP_SECONDS = 120.0
PAGE_SECONDS = 300.0

pytestmark = pytest.mark.timeout(600)

NOT_RUN = ("make demo", "quickthaw compare")
"""Of README.md: other tests of this folder do what the first does, and the second takes ten minutes."""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which nothing has been done yet."""
    port = claim_port("127.0.0.1", 0)
    made = Machine(tmp_path, {"QUICKTHAW_PORT": str(port)})
    made.set_up()
    return made


def parts(page: list[Block]) -> tuple[str, str]:
    """Return what the first terminal runs, up to what goes on until Ctrl-C, and what the second runs."""
    first, second = [], []
    for number, block in enumerate(page):
        if any(line.startswith(UNTIL_INTERRUPT) for line in block.code.splitlines()):
            first.append(without(block.script(), NOT_RUN))
        else:
            second.append(f"echo '== {number}'\n{without(block.script(), NOT_RUN)}")
    return "".join(first), "".join(second)


def without(script: str, commands: tuple[str, ...]) -> str:
    return "".join(line for line in script.splitlines(keepends=True) if not line.startswith(commands))


def key_of(machine: Machine) -> str:
    """Return the key that `quickthaw up` has printed."""
    return str(tomllib.loads((machine.folder / "home/.quickthaw/client.toml").read_text())["api_key"])


def test_the_quickstart_works_as_it_is_written(machine: Machine) -> None:
    first, second = parts(list(blocks((ROOT / "docs/quickstart.md").read_text())))
    with Terminal(machine, first, "first") as terminal:
        terminal.wait_for("quickthaw is up", UP_SECONDS)
        said = machine.run(second, PAGE_SECONDS)
        left = terminal.interrupt()
    assert left == []
    assert "stopped" in terminal.output()
    for text in ("smollm2-135m-instruct is loaded, after", "version 1", "version 2", "no new version", "event: result"):
        assert text in said, f"{text!r} is not in\n{said}"


def test_the_readme_works_as_it_is_written(machine: Machine) -> None:
    first, second = parts(list(blocks((ROOT / "README.md").read_text())))
    with Terminal(machine, first, "first") as terminal:
        terminal.wait_for("quickthaw is up", UP_SECONDS)
        second = second.replace(":8080", ":" + machine.settings["QUICKTHAW_PORT"]).replace("qt-…", key_of(machine))
        said = machine.run(f"cd quickthaw\n{second}", PAGE_SECONDS)
        left = terminal.interrupt()
    assert left == []
    assert "Paris" in said


@pytest.fixture
def valkey_here(tmp_path: Path) -> Iterator[ValkeyProcess]:
    """The Redis that a Procfile's processes need."""
    (tmp_path / "valkey").mkdir()
    server = ValkeyProcess(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


def test_the_procfile_works_as_operations_say(machine: Machine, valkey_here: ValkeyProcess) -> None:
    page = (ROOT / "docs/operations.md").read_text().split("\n## ")[1]
    page = page.replace("127.0.0.1:6379", f"127.0.0.1:{valkey_here.port}")
    page = page.replace("/tmp/quickthaw-metrics", str(machine.folder / "metrics"))
    first, second = parts(list(blocks(page)))
    enter = "cd quickthaw\n. .venv/bin/activate\n"
    begin = "git clone REPOSITORY quickthaw\n(cd quickthaw; python3 -m venv .venv)\n"
    with Terminal(machine, begin + enter + first, "first") as terminal:
        terminal.wait_for("Listening at", UP_SECONDS)
        said = machine.run(enter + second, PAGE_SECONDS)
        left = terminal.interrupt()
    assert left == []
    assert re.search(r"\bqt-\w+", said)
    assert "node" in said
