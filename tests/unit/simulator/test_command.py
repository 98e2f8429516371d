from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from quickthaw_platform.commands.simulate import simulate

SMALL = Path(__file__).parents[3] / "deploy" / "scenarios" / "small.toml"


def short(tmp_path: Path) -> str:
    file = tmp_path / "short.toml"
    file.write_text(SMALL.read_text().replace("invocations = 2000", "invocations = 100"))
    return str(file)


def test_policies_are_compared_side_by_side_and_drawn(tmp_path: Path) -> None:
    output = tmp_path / "out"
    options = ["--policy", "startup-time", "--policy", "random", "--keep-alive", "fixed", "--seed", "3", "--json"]
    ran = CliRunner().invoke(simulate, [short(tmp_path), *options, "--output", str(output)], catch_exceptions=False)
    assert ran.exit_code == 0
    found = json.loads(ran.stdout)
    assert [(row["policy"], row["keep_alive"]) for row in found] == [("startup-time", "fixed"), ("random", "fixed")]
    assert found[0]["calls"] == sum(found[0]["ended"].values()) == 100
    assert {file.name for file in output.iterdir()} == {
        "summary.json", "startup.png", "startup.svg", "ttft.png", "ttft.svg"
    }  # fmt: skip
    assert json.loads((output / "summary.json").read_text()) == found


def test_the_table_names_the_policies(tmp_path: Path) -> None:
    ran = CliRunner().invoke(simulate, [short(tmp_path), "--policy", "locality"], catch_exceptions=False)
    assert "locality" in ran.stdout
    assert "migrations" in ran.stdout
