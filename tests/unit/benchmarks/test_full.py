from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from benchmarks.full import full


@click.command()
@click.option("--rounds", default=2)
@click.option("--rate", "rates", multiple=True, type=float, default=(1.0,))
@full("All.", rounds=7, rates=(1.0, 2.0))
def measure(rounds: int, rates: tuple[float, ...]) -> None:
    click.echo(f"{rounds} {rates}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "2 (1.0,)"),
        (["--full"], "7 (1.0, 2.0)"),
        (["--full", "--rounds", "3"], "3 (1.0, 2.0)"),
        (["--rounds", "3", "--full"], "3 (1.0, 2.0)"),
    ],
)
def test_it_changes_what_is_not_given(arguments: list[str], expected: str) -> None:
    assert CliRunner().invoke(measure, arguments).output.strip() == expected
