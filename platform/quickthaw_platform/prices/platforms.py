"""Writes the generated parts of docs/platforms.md: `python -m quickthaw_platform.prices.platforms`.

A part stands between `<!-- begin NAME -->` and `<!-- end NAME -->`. The parts `limits`, `billing` and `sources` come
from the price files; `priced` from measured consumptions, and stays as it is where none is given.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.prices.catalogue import Catalogue, load
from quickthaw_platform.prices.consumption import read_consumption
from quickthaw_platform.prices.platform_facts import platform_file
from quickthaw_platform.prices.platform_tables import Sources, billing_table, limits_tables, priced_table
from quickthaw_platform.prices.tokens import buy_tokens

DOCUMENT = Path("docs/platforms.md")


def parts(catalogue: Catalogue, consumptions: Sequence[Path] = ()) -> dict[str, str]:
    """Return the generated parts by name."""
    facts, sources = platform_file(), Sources()
    found = {"limits": limits_tables(facts, sources), "billing": billing_table(facts, catalogue, sources)}
    found["sources"] = sources.listed()
    if consumptions:
        tables = []
        for file in consumptions:
            use, about = read_consumption(file)
            tokens = buy_tokens(facts.tokens, use.tokens_in, use.tokens_out, use.tokens_cached)
            tables.append(priced_table(facts, catalogue, tokens, use, about))
        found["priced"] = "\n".join(tables)
    return found


def with_parts(document: str, found: Mapping[str, str]) -> str:
    """Return the document with these parts in their places; InvalidRequest names a part that it has no place for."""
    for name, text in found.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        before, opened, rest = document.partition(begin)
        _, closed, after = rest.partition(end)
        if not opened or not closed:
            raise InvalidRequest(f"the document lacks {begin.strip()} … {end}", param=name)
        document = "".join((before, begin, text, end, after))
    return document


@click.command()
@click.option("--document", type=click.Path(path_type=Path, dir_okay=False), default=DOCUMENT, show_default=True)
@click.option(
    "--consumption",
    "consumptions",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A measured use, as JSON (docs/prices.md); repeatable, one table each.",
)
@click.option("--check", is_flag=True, help="Write nothing; end with status 1 if the document is out of date.")
def main(document: Path, consumptions: Sequence[Path], check: bool) -> None:
    """Write the tables of docs/platforms.md from the price files and from measured consumptions."""
    old = document.read_text(encoding="utf-8")
    new = with_parts(old, parts(load(), consumptions))
    if check:
        sys.exit(f"{document} is out of date: python -m quickthaw_platform.prices.platforms" if new != old else 0)
    document.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
