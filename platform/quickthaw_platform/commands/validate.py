"""`quickthaw validate`: the perplexity of a function or a checkpoint on a text, by a published protocol."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, Unpack, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from quickthaw import config
from quickthaw.cli import arguments, output, ranges
from quickthaw.cli.root import State, pass_state
from quickthaw_platform import settings, signals
from quickthaw_platform.validation import subjects
from quickthaw_platform.validation.corpus import read_corpus
from quickthaw_platform.validation.journal import FOLDER
from quickthaw_platform.validation.leftovers import clean_up
from quickthaw_platform.validation.planning import Plan
from quickthaw_platform.validation.quality.measuring import COUNT, SEED, Wanted, continued
from quickthaw_platform.validation.quality.passages import PROMPT_WORDS, REFERENCE_WORDS, Split
from quickthaw_platform.validation.quality.result import QualityResult
from quickthaw_platform.validation.quality.telling import tell_quality
from quickthaw_platform.validation.result import Measure, ProtocolName, ValidationResult
from quickthaw_platform.validation.results import keep
from quickthaw_platform.validation.running import Listening, Wish, find_tokenizer
from quickthaw_platform.validation.running import validate as score
from quickthaw_platform.validation.subjects import Making, Served

_COUNT = click.IntRange(min=1)


class _Choices(TypedDict):
    protocol: ProtocolName
    text: Path
    encoding: str | None
    window: int | None
    stride: int | None
    limit: int | None
    parallel: int | None
    resume: bool
    engine: str | None
    engine_options: tuple[str, ...]
    instances: int
    tokenizer: Path | None
    endpoint: str | None
    model: str | None
    endpoint_key: str | None
    quality: bool
    continuations: int
    prompt_words: int
    reference_words: int
    seed: int
    kept: bool
    progress: bool
    as_json: bool


@click.command("validate")
@click.argument("target", required=False)
@click.option("--text", required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH",
              help="A file, JSON lines (a row's `text` is a document) or a folder; .gz is fine. A file named as "
              "WikiText's, such as wiki.test.raw, is taken apart as published numbers do.")  # fmt: skip
@click.option("--protocol", type=click.Choice(get_args(ProtocolName)), default="hf", show_default=True,
              help="How the text is cut and counted; numbers of different protocols do not compare.")  # fmt: skip
@click.option("--window", type=click.IntRange(min=2), metavar="TOKENS",
              help="Tokens seen at once [default: hf 1024, gptq and lm-eval 2048, llamacpp 512].")  # fmt: skip
@click.option("--stride", type=_COUNT, metavar="TOKENS",
              help="For hf: from one window's beginning to the next [default: 512].")  # fmt: skip
@click.option("--limit", type=_COUNT, metavar="COUNT", help="Only so many windows; for lm-eval, documents.")
@click.option("--encoding", help="Of the text, where it is not UTF-8.")
@click.option("--resume", is_flag=True, help="Go on where the same validation was stopped.")
@click.option("--parallel", type=_COUNT, metavar="COUNT", help="Windows under way at once [default: two an instance].")
@click.option("--engine", help="For a checkpoint: the engine that runs it.")
@click.option("--option", "engine_options", multiple=True, metavar="KEY=VALUE",
              help="For a checkpoint: an engine option; compute=mixed exact=false is in bfloat16.")  # fmt: skip
@click.option("--instances", type=_COUNT, default=1, show_default=True, help="For a checkpoint: most instances.")
@click.option("--tokenizer", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER",
              help="Where the tokenizer lies, if the checkpoint is not on this machine.")  # fmt: skip
@click.option("--endpoint", metavar="URL", help="Another OpenAI-compatible server in place of TARGET.")
@click.option("--model", help="The model to ask for there.")
@click.option("--endpoint-key", envvar="QUICKTHAW_ENDPOINT_KEY", help="The API key to send there.")
@click.option(
    "--quality", is_flag=True, help="Continue paragraphs, and compare: BLEU, ROUGE, chrF beside their floors."
)
@click.option("--continuations", type=click.IntRange(min=0), default=COUNT, show_default=True, metavar="COUNT",
              help="For --quality: so many paragraphs, drawn by --seed; 0: all.")  # fmt: skip
@click.option("--prompt-words", type=_COUNT, default=PROMPT_WORDS, show_default=True, metavar="COUNT",
              help="For --quality: words of a paragraph that are shown.")  # fmt: skip
@click.option("--reference-words", type=_COUNT, default=REFERENCE_WORDS, show_default=True, metavar="COUNT",
              help="For --quality: words behind them that are compared.")  # fmt: skip
@click.option("--seed", type=ranges.SEED, default=SEED, show_default=True, help="For --quality: of all that is drawn.")
@click.option("--keep/--no-keep", "kept", default=True, help="Keep the result with the checkpoint; yes.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@pass_state
def validate(state: State, target: str | None, **options: Unpack[_Choices]) -> None:
    """Score how well TARGET predicts a text: its perplexity, with an interval.

    TARGET is a function (or function:alias), else a checkpoint: that one is served by a function of its own, which is
    removed at the end. Ctrl-C stops; --resume goes on. The result is kept with the checkpoint. See docs/validation.md.
    """
    signals.supervise()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was made is taken away
    screen = Console(stderr=True)
    corpus = read_corpus(options["text"], options["encoding"])
    folder = config.client_file().parent / FOLDER
    wish = Wish(
        options["protocol"], options["window"], options["stride"], options["limit"], options["parallel"],
        options["resume"],
    )  # fmt: skip
    try:
        with _served(state, target, options, folder, screen) as served, _shown(screen, options) as listening:
            if options["quality"]:
                written = continued(served, corpus, _wanted(options), folder, listening, wish)
                _end(state, target, options, written)
                return
            tokenizer = find_tokenizer(served, settings.load().checkpoints_dir, options["tokenizer"])
            result = score(served, corpus, tokenizer, wish, folder, listening)
            _end(state, target, options, result)
    except KeyboardInterrupt:
        raise click.ClickException("stopped; the same command with --resume goes on") from None


def _wanted(options: _Choices) -> Wanted:
    return Wanted(options["continuations"], Split(options["prompt_words"], options["reference_words"]), options["seed"])


def _end(state: State, target: str | None, options: _Choices, result: ValidationResult | QualityResult) -> None:
    """Print the result, and keep it where it is of a checkpoint of ours; what cannot be kept has been said by then."""
    if options["as_json"]:
        click.echo(result.model_dump_json(indent=2))
    elif isinstance(result, QualityResult):
        tell_quality(result)
    else:
        _tell(result)
    if target is not None and options["kept"]:
        keep(state.client, result)


@contextlib.contextmanager
def _served(state: State, target: str | None, options: _Choices, folder: Path, screen: Console) -> Iterator[Served]:
    url, model = options["endpoint"], options["model"]
    if (target is None) == (url is None):
        raise click.UsageError("name either a function or checkpoint, or an --endpoint")
    if url is not None:
        if model is None:
            raise click.UsageError("--endpoint needs a --model")
        yield subjects.endpoint(url, model, options["endpoint_key"])
        return

    def say(text: str) -> None:
        screen.print(text, markup=False, highlight=False)

    clean_up(state.client, folder, say)
    making = Making(options["engine"], options["instances"], arguments.pairs(options["engine_options"]))
    with subjects.served(state.client, str(target), making, folder, say) as found:
        yield found


@contextlib.contextmanager
def _shown(screen: Console, options: _Choices) -> Iterator[Listening]:
    if not options["progress"] or not screen.is_terminal:
        yield Listening()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bars:
        yield _listening(bars)


def _listening(bars: Progress) -> Listening:
    task = bars.add_task("tokenising", total=None)
    begun: list[tuple[float, int]] = []

    def planned(plan: Plan) -> None:
        bars.update(task, description=plan.protocol, total=len(plan.windows))

    def progress(windows: int, tokens: int) -> None:
        now = bars.get_time()
        begun.append((now, tokens)) if not begun else None
        seconds = now - begun[0][0]
        rate = f", {(tokens - begun[0][1]) / seconds:,.0f} tokens/s" if seconds > 0 else ""
        bars.update(task, completed=windows, description=f"{tokens:,} tokens{rate}")

    return Listening(planned, progress)


def _tell(result: ValidationResult) -> None:
    """Print a table: what was measured is above it, and what must be quoted with it."""
    table = Table(title=result.title, title_justify="left")
    for column in ("", "value", "95% interval"):
        table.add_column(column, justify="right" if column else "left")
    rows: dict[str, Measure | None] = {
        "perplexity per token": result.perplexity, "per word": result.word_perplexity,
        "per byte": result.byte_perplexity, "bits per byte": result.bits_per_byte,
    }  # fmt: skip
    for name, found in rows.items():
        if found is not None:
            table.add_row(name, f"{found.value:.4f}", _interval(found))
    console = Console()
    output.show(table, console)
    for line in _lines(result):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _interval(found: Measure) -> str:
    return "too few windows" if found.interval is None else f"{found.interval.low:.4f} to {found.interval.high:.4f}"


def _lines(result: ValidationResult) -> Iterator[str]:
    one, sums = result.subject, result.sums
    known = [part for part in (one.checkpoint or one.model, one.engine, one.dtype, one.adapter) if part]
    yield f"model: {', '.join(known)}{one.precision}"
    yield f"text: {result.text.name}, sha256 {result.text.digest[:16]}…, {result.text.bytes:,} bytes"
    yield f"tokenizer: {result.tokenizer}; beginning token: {result.bos}"
    whole = "" if sums.words is None else f", {sums.words:,} words, {sums.bytes:,} bytes"
    yield f"sums: {sums.nll:.4f} nats over {sums.tokens:,} tokens{whole}, in {result.windows:,} windows"
    yield f"speed: {result.tokens_per_second:,.0f} tokens/s read, {result.seconds:.1f} s"
