"""`quickthaw models compare`: what other forms of a model, such as quantised ones, lose against it."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from quickthaw import config
from quickthaw.cli import output
from quickthaw.cli.root import State, pass_state
from quickthaw.client import Client
from quickthaw_platform import settings, signals
from quickthaw_platform.validation import subjects
from quickthaw_platform.validation.corpus import read_corpus
from quickthaw_platform.validation.forms import Candidate, Form, compare_forms
from quickthaw_platform.validation.forms_table import COLUMNS, notes, row
from quickthaw_platform.validation.journal import FOLDER
from quickthaw_platform.validation.leftovers import clean_up
from quickthaw_platform.validation.planning import Plan
from quickthaw_platform.validation.result import ProtocolName
from quickthaw_platform.validation.results import keep, keep_losses
from quickthaw_platform.validation.running import Listening, Wish, find_tokenizer
from quickthaw_platform.validation.subjects import Making, Served

_COUNT = click.IntRange(min=1)


@click.command("compare")
@click.argument("base")
@click.argument("forms", nargs=-1, required=True, metavar="FORM...")
@click.option("--text", required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH",
              help="A file, JSON lines or a folder, as for `quickthaw validate`.")  # fmt: skip
@click.option("--protocol", type=click.Choice(get_args(ProtocolName)), default="hf", show_default=True,
              help="How the text is cut and counted.")  # fmt: skip
@click.option("--window", type=click.IntRange(min=2), metavar="TOKENS", help="Tokens seen at once.")
@click.option("--stride", type=_COUNT, metavar="TOKENS", help="For hf: from one window to the next.")
@click.option("--limit", type=_COUNT, metavar="COUNT", help="Only so many windows; for lm-eval, documents.")
@click.option("--encoding", help="Of the text, where it is not UTF-8.")
@click.option("--parallel", type=_COUNT, metavar="COUNT", help="Windows under way at once [default: all slots].")
@click.option("--tokenizer", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER",
              help="Where the tokenizer lies, if the checkpoints are not on this machine.")  # fmt: skip
@click.option("--keep/--no-keep", "kept", default=True, help="Keep the results with the checkpoints; yes.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@pass_state
def models_compare(
    state: State, /, base: str, forms: tuple[str, ...], kept: bool, as_json: bool, **options: Any
) -> None:
    """Compare each FORM of a model with BASE: perplexity, divergence of next tokens, agreement, speed, size.

    Each is a function, or a checkpoint: that one is served by a function of its own, removed at the end. One is
    measured after the other, on the same windows of the same token ids.
    """
    signals.supervise()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was made is taken away
    screen, folder = Console(stderr=True), config.client_file().parent / FOLDER
    corpus = read_corpus(options["text"], options["encoding"])
    wish = Wish(options["protocol"], options["window"], options["stride"], options["limit"], options["parallel"])
    say = partial(screen.print, markup=False, highlight=False)
    clean_up(state.client, folder, say)
    candidates = [_candidate(state.client, name, options["tokenizer"], folder, screen) for name in (base, *forms)]
    try:
        with _bars(screen) as listening:
            found = compare_forms(candidates, corpus, wish, folder, listening)
    except KeyboardInterrupt:
        raise click.ClickException("stopped; a comparison begins anew") from None
    if kept:
        _keep(state.client, found)
    _tell(found, as_json)


def _candidate(client: Client, name: str, tokenizer: Path | None, folder: Path, screen: Console) -> Candidate:
    say = partial(screen.print, markup=False, highlight=False)

    def checkpoint(served: Served) -> Any:
        return None if served.subject.digest is None else client.checkpoint(served.subject.digest)

    return Candidate(
        name,
        serve=lambda: subjects.served(client, name, Making(), folder, say),
        tokenizer=lambda served: find_tokenizer(served, settings.load().checkpoints_dir, tokenizer),
        checkpoint=checkpoint,
    )


@contextlib.contextmanager
def _bars(screen: Console) -> Iterator[Any]:
    if not screen.is_terminal:
        yield lambda _name: Listening()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bars:

        def listening(name: str) -> Listening:
            task = bars.add_task(name, total=None)

            def planned(plan: Plan) -> None:
                bars.update(task, total=len(plan.windows))

            return Listening(planned, lambda windows, _tokens: bars.update(task, completed=windows))

        yield listening


def _keep(client: Client, found: Sequence[Form]) -> None:
    base = found[0]
    for form in found:
        keep(client, form.result)
        if form.losses is not None:
            keep_losses(client, form, base)


def _tell(found: Sequence[Form], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_plain(form) for form in found], indent=2))
        return
    click.echo(found[0].result.title)
    output.table(COLUMNS, (row(form, found[0]) for form in found), "")
    for line in notes(found):
        click.echo(line)


def _plain(form: Form) -> dict[str, Any]:
    lost = form.losses
    return {
        "result": form.result.model_dump(mode="json"),
        "checkpoint": None if form.checkpoint is None else form.checkpoint.model_dump(mode="json"),
        "losses": None
        if lost is None
        else {
            "positions": lost.positions,
            **{name: getattr(lost, name).model_dump() for name in ("divergence", "agreement", "ratio")},
        },
    }
