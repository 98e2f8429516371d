"""`quickthaw compare` as its users run it: a real platform, real processes, an interruption and a kill."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quickthaw_platform.commands.ports import claim_port
from tests.acceptance.cluster import VENV_BIN, Cluster, wait_for

SERVER = Path(__file__).parents[1] / "integration" / "comparison" / "server.py"
TRAFFIC = ("--arrivals", "poisson", "--rate", "4", "--tokens-in", "20", "--tokens-out", "4", "--seed", "3")


def command(cluster: Cluster, *arguments: str) -> subprocess.Popen[str]:
    """Start it, with the journal of the cluster's own folder."""
    environment = {
        **os.environ,
        "QUICKTHAW_DATA_DIR": str(cluster.data_dir),
        "QUICKTHAW_URL": cluster.url,
        "QUICKTHAW_API_KEY": cluster.api_key,
    }
    return subprocess.Popen(
        [VENV_BIN / "quickthaw", "compare", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def done(cluster: Cluster, *arguments: str, status: int = 0) -> tuple[str, str]:
    """Run it to its end."""
    process = command(cluster, *arguments)
    out, err = process.communicate(timeout=240)
    assert process.returncode == status, out + err
    return out, err


def aliases(cluster: Cluster) -> list[str]:
    return [alias.name for alias in cluster.client.aliases("echo")]


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


@pytest.fixture(scope="module")
def compared(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run of two backends and a server, with a simulation."""
    folder = tmp_path_factory.mktemp("compared") / "run"
    port = claim_port("127.0.0.1", 0)
    serve = shlex.join([sys.executable, str(SERVER), str(port)])
    out, _ = done(
        cluster, "echo", *TRAFFIC, "--minutes", "0.05", "--repeats", "2", "--out", str(folder),
        "--simulate", "--simulated-rate", "2",
        "--endpoint", f"other=http://127.0.0.1:{port}", "--endpoint-command", f"other={serve}",
    )  # fmt: skip
    assert str(folder / "report.html") in out
    return folder


def test_one_command_leaves_a_whole_report(compared: Path) -> None:
    names = {path.name for path in compared.iterdir()}
    assert names >= {"run.json", "requests.parquet", "usage.csv", "timeline.csv", "simulated.json",
                     "report.json", "report.md", "report.html", "figures"}  # fmt: skip
    found = report(compared)
    assert [row["backend"] for row in found["rows"] if not row["simulated"]] == ["serverless", "serverful", "other"]
    assert {row["requests"] for row in found["rows"] if not row["simulated"]} == {found["rows"][0]["requests"]}
    assert not [row["failures"] for row in found["rows"] if row["failures"]]
    assert found["answer"]["sentence"]
    page = (compared / "report.html").read_text()
    assert found["answer"]["sentence"][:40] in page


def test_a_serverless_side_is_cold_first_and_an_always_on_one_never(compared: Path) -> None:
    rows = {row["backend"]: row for row in report(compared)["rows"]}
    assert rows["serverless"]["cold_share"]["value"] > 0
    assert rows["serverful"]["cold_share"]["value"] == 0
    assert (
        rows["serverful"]["usage"]["seconds_by_phase"]["idle"]
        > rows["serverless"]["usage"]["seconds_by_phase"].get("idle", 0) * 0.9
    )


def test_nothing_of_it_is_left_on_the_platform(compared: Path, cluster: Cluster) -> None:
    assert compared.exists()
    assert aliases(cluster) == ["live"]
    assert not [i for i in cluster.client.instances() if i.function == "echo" and i.state != "draining"]


def test_the_report_can_be_made_again_without_the_platform(compared: Path, cluster: Cluster) -> None:
    before = report(compared)
    (compared / "report.json").unlink()
    done(cluster, "--from", str(compared))
    after = report(compared)
    assert after["rows"] == before["rows"]


def test_an_interruption_keeps_what_was_measured_and_takes_everything_down(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    process = command(cluster, "echo", *TRAFFIC, "--minutes", "5", "--repeats", "1", "--out", str(folder), "--no-probe")
    wait_for(lambda: [i for i in cluster.client.instances() if i.function == "echo" and i.in_use], "its first call", 60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out + err
    assert "interrupted" in err
    found = report(folder)
    assert found["header"]["interrupted"]
    assert found["rows"][0]["requests"] >= 1
    assert aliases(cluster) == ["live"]


def test_what_a_killed_run_deployed_is_gone_at_the_next_run_and_two_at_once_are_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    killed = command(cluster, "echo", *TRAFFIC, "--minutes", "5", "--out", str(tmp_path / "killed"), "--no-probe")
    wait_for(lambda: len(aliases(cluster)) == 2, "the alias of the first side", 60)
    _, refused = done(cluster, "echo", *TRAFFIC, "--minutes", "0.05", "--out", str(tmp_path / "second"), status=1)
    assert str(killed.pid) in refused
    killed.kill()
    killed.communicate(timeout=60)
    assert len(aliases(cluster)) == 2  # nobody has noticed
    _, err = done(
        cluster, "echo", *TRAFFIC, "--minutes", "0.05", "--repeats", "1", "--out", str(tmp_path / "next"), "--no-probe",
        "--backends", "serverless",
    )  # fmt: skip
    assert "killed comparison left" in err
    assert aliases(cluster) == ["live"]
