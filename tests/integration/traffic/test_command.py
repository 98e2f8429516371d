from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform.traffic import tables
from tests.integration.traffic.streaming_server import StreamingServer

QUICKTHAW = str(Path(sys.executable).with_name("quickthaw"))


@pytest.fixture(scope="module")
def server() -> Iterator[StreamingServer]:
    with StreamingServer() as running:
        yield running


def command(*words: str) -> list[str]:
    return [QUICKTHAW, "load", *words]


def load(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), capture_output=True, text=True, timeout=60, check=False, env=os.environ | variables
    )


def at(server: StreamingServer, model: str = "good") -> tuple[str, ...]:
    return "--endpoint", server.url, "--model", model


QUICK = ("--arrivals", "constant", "--rate", "20", "--duration", "500ms", "--tokens-in", "50", "--tokens-out", "3")
LENIENT = ("--slo-ttft", "30s")


@pytest.mark.parametrize("name", ["results.parquet", "results.csv"])
def test_a_run_prints_its_figures_and_writes_a_row_a_request(
    server: StreamingServer, tmp_path: Path, name: str
) -> None:
    done = load(*at(server), *QUICK, *LENIENT, "--out", str(tmp_path / name))
    assert done.returncode == 0, done.stderr
    assert "constant: 10 requests in 0.5 s, 20/s, CV of gaps 0.00" in done.stdout
    assert "10 sent, 10 answered, 0 failed" in done.stdout
    assert "dispatch lag p99" in done.stdout
    rows = list(tables.read(tmp_path / name))
    assert [row.number for row in rows] == list(range(10))
    assert all(row.prompt_tokens == pytest.approx(50, abs=2) for row in rows)


def test_json_is_all_that_standard_output_holds(server: StreamingServer) -> None:
    done = load(*at(server, "full"), *QUICK, *LENIENT, "--no-probe", "--json")
    found = json.loads(done.stdout)
    assert (found["sent"], found["failed"], found["attainment"]) == (10, 10, 0.0)
    assert found["failures"] == {"refused with 429": 10}
    assert done.returncode == 0


def test_synthetic_traffic_is_said_to_be_it(server: StreamingServer, tmp_path: Path) -> None:
    words = ("--arrivals", "azure-code", "--rate", "10", "--duration", "2s", "--most-in", "50", "--most-out", "3")
    done = load(*at(server), *words, *LENIENT, "--trace-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "azure-code (synthetic)" in done.stdout
    assert "note: synthetic: the trace azure-code is not in" in done.stdout


def test_a_run_that_lags_ends_with_an_error_and_keeps_its_rows(server: StreamingServer, tmp_path: Path) -> None:
    done = load(*at(server), *QUICK, "--slo-ttft", "0.000001", "--out", str(tmp_path / "r.csv"))
    assert done.returncode == 1
    assert "INVALID" in done.stdout
    assert "Error: invalid: the generator sent its requests late" in done.stderr
    assert len(list(tables.read(tmp_path / "r.csv"))) == 10


def test_ctrl_c_keeps_what_was_measured(server: StreamingServer, tmp_path: Path) -> None:
    words = ("--arrivals", "constant", "--rate", "50", "--minutes", "10", "--tokens-in", "50", "--tokens-out", "3")
    before = len(server.bodies)
    running = subprocess.Popen(
        command(*at(server), *words, *LENIENT, "--no-probe", "--out", str(tmp_path / "r.parquet")),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while len(server.bodies) < before + 10:
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 1
    assert "INTERRUPTED after" in stdout
    assert "Error: interrupted: the figures are of what was measured until then" in stderr
    rows = list(tables.read(tmp_path / "r.parquet"))
    assert 9 <= len(rows) < 30_000
    assert rows[0].error is None


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ((), 2, "name either a FUNCTION or an --endpoint"),
        (("chat", "--endpoint", "http://127.0.0.1:1"), 2, "name either a FUNCTION or an --endpoint"),
        (("--endpoint", "http://127.0.0.1:1"), 2, "--endpoint needs a --model"),
        (("--endpoint", "127.0.0.1:1", "--model", "m"), 1, "'127.0.0.1:1' is not the URL of an endpoint"),
        (("--endpoint", "http://127.0.0.1:1", "--model", "m", *QUICK), 1, "failed a first request: the connection"),
        (("chat", "--minutes", "1", "--duration", "1"), 2, "either --minutes or --duration"),
        (("chat", "--duration", "soon"), 2, "'soon' is not a duration"),
        (("chat", "--arrivals", "poisson"), 1, "needs a `rate`"),
        (("chat", "--arrivals", "pareto"), 1, "there are no arrivals 'pareto'"),
        (("chat", "--arrivals", "csv:/no-such-file"), 1, "/no-such-file cannot be read"),
        (("chat", "--arrivals", "poisson", "--rate", "0.000001"), 1, "no request comes in these 60 s of poisson"),
        (("chat", "--out", "results.xlsx"), 1, ".parquet or .csv"),
        (("chat", "--out", "/no/such/folder/results.csv"), 1, "no such folder"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(words: tuple[str, ...], status: int, said: str) -> None:
    done = load(*words, QUICKTHAW_URL="http://127.0.0.1:1")
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
