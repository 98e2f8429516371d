"""`quickthaw compress`: a prompt made shorter by deletion alone."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any, TextIO

import click
from rich.console import Console
from rich.text import Text

from quickthaw.cli.output import json_option, print_json
from quickthaw.cli.ranges import FiniteRange
from quickthaw.cli.root import State, pass_state
from quickthaw.client import Client
from quickthaw.compression import Compressed, FrequencyScorer, Reason, about_tokens
from quickthaw.compression import compress as compressed
from quickthaw.compression.verifying import verified
from quickthaw.errors import UnusableAnswer

FREQUENCY = "frequency"


@click.command()
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
@click.option("--ratio", type=FiniteRange(0, 1, min_open=True), help="Tokens that are to stay, of all; 0.5.")
@click.option("--budget", type=click.IntRange(1), metavar="TOKENS", help="Most tokens that are to stay, instead.")
@click.option(
    "--by",
    default=FREQUENCY,
    show_default=True,
    metavar="frequency|FUNCTION",
    help="Tell what a word says by its frequency, here; or by the model of a function such as functions/compress.",
)
@click.option("--question", metavar="TEXT", help="A part of the text that stays word for word; it is looked for else.")
@click.option("--drop-examples", is_flag=True, help="Examples of a few-shot prompt may go whole.")
@click.option("--diff", "as_diff", is_flag=True, help="Show the original, with what is deleted struck out.")
@json_option
@pass_state
def compress(
    state: State,
    file: TextIO,
    ratio: float | None,
    budget: int | None,
    by: str,
    question: str | None,
    drop_examples: bool,
    as_diff: bool,
    as_json: bool,
) -> None:
    """Print the text of FILE (or of stdin) made shorter: words are deleted, and nothing that changes its meaning.

    Numbers, names, negations, quotes, code, JSON and the question stay. Where nothing can go the text comes out as it
    is; the reason is told on stderr.
    """
    text = _read(file)
    if ratio is not None and budget is not None:
        raise click.UsageError("give either --ratio or --budget")
    if question is not None and question not in text:
        raise click.BadParameter("the text does not hold it", param_hint="--question")
    aim: dict[str, Any] = {"budget": budget} if budget is not None else {"ratio": 0.5 if ratio is None else ratio}
    how: dict[str, Any] = {**aim, "question": question, "drop_examples": drop_examples}
    if by == FREQUENCY:
        done = compressed(text, count_tokens=about_tokens, scorer=FrequencyScorer(), **how)
    else:
        done = _by_function(state.client, by, text, how)
    _print(text, done, as_diff=as_diff, as_json=as_json)


def _read(file: TextIO) -> str:
    try:
        return file.read()
    except UnicodeDecodeError as error:
        raise click.BadParameter(
            f"it is no UTF-8 text: {error.reason} at byte {error.start}", param_hint="FILE"
        ) from error


def _by_function(client: Client, name: str, text: str, how: dict[str, Any]) -> Compressed:
    """Have a function compress the text. What it returns is verified: only deletions are accepted."""
    given = {key: value for key, value in how.items() if value not in (None, False)}
    result = client.invoke(name, {"text": text, **given}).result
    try:
        done = Compressed(
            result["text"],
            Reason(result["reason"]),
            int(result["original_tokens"]),
            int(result["tokens"]),
            tuple((int(start), int(end)) for start, end in result["kept"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableAnswer(
            f"{name} did not return a compressed text as functions/compress does; deploy that, or use --by frequency"
        ) from error
    return verified(text, done, question=how["question"], drop_examples=how["drop_examples"])


def _print(text: str, done: Compressed, *, as_diff: bool, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(done), "ratio": round(done.ratio, 4)})
        return
    if as_diff:
        console = Console(file=sys.stdout, highlight=False)
        console.print(_struck(text, done, marks=not console.is_terminal), soft_wrap=True, end="")
    else:
        click.echo(done.text, nl=False)
    told = f"{done.reason}: {done.tokens} of {done.original_tokens} tokens"
    click.echo(("" if done.text.endswith("\n") or not sys.stdout.isatty() else "\n") + told, err=True)


def _struck(text: str, done: Compressed, *, marks: bool) -> Text:
    """Return the original with what is deleted struck out; with `marks` also between `[-` and `-]`."""
    shown = Text()
    place = 0
    for start, end in (*done.kept, (len(text), len(text))):
        if place < start:
            gone = text[place:start]
            shown.append(f"[-{gone}-]" if marks else gone, style="strike red")
        shown.append(text[start:end])
        place = end
    return shown
