"""Functions as people write them: what they find in an instance is what they find where they were written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.worker.node_process import NodeProcess
from tests.integration.worker.worker_process import wait_for

RANDOM = """
import random
import numpy, torch

def handle(model):
    return [random.random(), float(numpy.random.rand()), float(torch.rand(1))]
"""


def test_no_two_instances_draw_the_same_random_numbers(node: NodeProcess) -> None:
    drawn = []
    for name in ("random-a", "random-b"):
        info = node.call(node.deploy(name, RANDOM), {})
        assert info.error is None, info.error
        drawn.append(info.result)
    for one, other in zip(*drawn, strict=True):
        assert one != other


def test_relative_paths_begin_in_a_copy_of_the_folder(node: NodeProcess) -> None:
    source = """
from pathlib import Path
from lib.prompts import read

at_import = Path("prompts/system.txt").read_text()

def handle(model):
    Path("prompts/system.txt").write_text("changed")
    return [at_import, read("prompts/system.txt"), (Path(__file__).parent / "prompts/system.txt").read_text()]
"""
    files = {
        "prompts/system.txt": "be kind",
        "lib/prompts.py": "def read(name):\n    with open(name) as file:\n        return file.read()\n",
    }
    results = []
    for number in range(2):
        version = node.deploy(f"paths-{number}", source, files)
        results.append(node.call(version, {}).result)
    assert results == [["be kind", "changed", "be kind"]] * 2


STREAMS = """
import faulthandler, io, subprocess, sys

def handle(model):
    faulthandler.enable()
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
    sys.stdout.buffer.write("binär\\n".encode())
    subprocess.run([sys.executable, "-c", "print('from a program')"], stdout=sys.stdout, check=True)
    subprocess.run([sys.executable, "-c", "import sys; print('an error', file=sys.stderr)"], check=True)
    print("printed")
    return [sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.encoding, sys.stdout.isatty()]
"""


def test_the_standard_streams_are_files_and_their_descriptors_are_logged_as_what_they_are(node: NodeProcess) -> None:
    info = node.call(node.deploy("streams", STREAMS, memory="256MiB"), {})
    assert info.result == [1, 2, "utf-8", False], info.error

    def said() -> set[tuple[str, str]]:
        return {(row["stream"], row["line"]) for row in node.logs("streams")}

    expected = {("stdout", "binär"), ("stdout", "from a program"), ("stderr", "an error"), ("stdout", "printed")}
    wait_for(lambda: expected <= said(), f"{expected} in the log")


@pytest.mark.parametrize(
    ("name", "value", "source", "result"),
    [
        ("TZ", "Asia/Kolkata", "import time\ndef handle(model): return time.localtime(0).tm_hour", 5),
        ("TMPDIR", "/dev/shm", "import tempfile\ndef handle(model): return tempfile.gettempdir()", "/dev/shm"),
        ("PYTHONPATH", "vendored", "import qt_vendored\ndef handle(model): return qt_vendored.x", 1),
    ],
)
def test_variables_that_python_reads_once_are_applied(
    node: NodeProcess, name: str, value: str, source: str, result: Any
) -> None:
    beside = {"vendored/qt_vendored.py": "x = 1\n"}
    version = node.deploy(f"env-{name.lower()}", source, beside, env={name: value})
    info = node.call(version, {})
    assert info.result == result, info.error
