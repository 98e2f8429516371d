"""`python -m tests.suites`: clients that nobody here wrote, against a real platform. See docs/clients.md."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from benchmarks.processes import end_on_sigterm
from benchmarks.report import console
from quickthaw_platform.comparison.machine import source_commit
from tests.suites import reasons
from tests.suites.environments import ensure
from tests.suites.every import SUITES
from tests.suites.outcomes import counts
from tests.suites.reasons import Reason, explain
from tests.suites.served import Access, platform
from tests.suites.suite import Place, Suite
from tests.suites.table import Result, markdown, replaced, rich_table

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".venv" / "suites"
DOCUMENT = ROOT / "docs" / "clients.md"


def _chosen(_context: click.Context, _parameter: click.Parameter, names: str) -> list[Suite]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = set(wanted) - SUITES.keys()
    if unknown:
        raise click.BadParameter(f"there is no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    return [SUITES[name] for name in wanted or SUITES]


@click.command()
@click.option("--only", "suites", default="", callback=_chosen, help="Names with commas between; all if left out.")
@click.option("--write", is_flag=True, help="Put the rows of these suites into the table of docs/clients.md.")
@click.option("--show", default=300, show_default=True, help="Characters printed of each unexplained failure.")
@click.option("--full", is_flag=True, help="Make up as many requests of each operation as schemathesis would.")
def main(suites: list[Suite], write: bool, show: int, full: bool) -> None:
    """Run suites and print a table; status 1 where a test fails for no reason listed in reasons.toml."""
    end_on_sigterm()
    screen = console()
    broken = _install(suites, screen)
    with platform() as access:
        results = [broken.get(suite.name) or _run(suite, access, screen, full=full) for suite in suites]
    screen.print(rich_table(results))
    _tell_unexplained(results, show, screen)
    if write:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        document = DOCUMENT.read_text()
        DOCUMENT.write_text(replaced(document, markdown(results, f"{today}, `{source_commit()[:7]}`", document)))
    sys.exit(not all(result.explained for result in results))


def _install(suites: Sequence[Suite], screen: Console) -> dict[str, Result]:
    """Make the environments that are missing; return the suites for which that failed."""
    broken = {}
    for suite in suites:
        try:
            if ensure(suite.environment, CACHE / suite.name):
                screen.print(f"installed {suite.name}")
        except RuntimeError as error:
            broken[suite.name] = Result(suite.name, suite.version, broken=str(error))
    return broken


def _run(suite: Suite, access: Access, screen: Console, *, full: bool = False) -> Result:
    folder = CACHE / suite.name
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    try:
        cases = suite.run(Place(access.url, access.api_key, folder, scratch, full))
    except (RuntimeError, OSError) as error:
        screen.print(f"{suite.name} did not run: {error}", markup=False)
        return Result(suite.name, suite.version, broken=str(error))
    (scratch / "cases.json").write_text(json.dumps([asdict(case) for case in cases], indent=1))
    screen.print(f"{suite.name}: {', '.join(f'{number} {verdict}' for verdict, number in counts(cases).items())}")
    return Result(suite.name, suite.version, cases, explain(suite.name, cases, _known()))


def _known() -> list[Reason]:
    return reasons.read()


def _tell_unexplained(results: Sequence[Result], characters: int, screen: Console) -> None:
    for result in results:
        for failure in result.failures:
            if failure.reason is None:
                text = f"{result.suite}: {failure.case.name}\n    {failure.case.message[:characters]}"
                screen.print(text, markup=False, highlight=False)


if __name__ == "__main__":
    main()
