"""`python -m benchmarks.table1`: the mission's Table 1, as far as this machine can fill it.

Rows of SmolLM2 in each format are measured on a platform of its own, by the same commands that anybody runs; published
rows are marked *reported*. `--model hf:meta-llama/Meta-Llama-3-8B --name llama-3-8b` fills the row of Llama 3 wherever
its weights are: any source of `quickthaw models import` will do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from benchmarks.assets import DENSE, gguf_file
from benchmarks.processes import end_on_sigterm
from benchmarks.report import RESULTS
from benchmarks.served import Import, Served, program
from quickthaw.cli.output import size
from quickthaw_platform.comparison.writing import write_text
from quickthaw_platform.validation.published import published

TEXT = Path(__file__).parents[2] / "shared" / "data" / "wiki.test.raw.gz"
DOCUMENT = Path(__file__).parents[1] / "docs" / "validation.md"
BEGIN, END = "<!-- table1: python -m benchmarks.table1 --write -->", "<!-- /table1 -->"
HEAD = (
    "model", "stored as", "engine", "size", "protocol", "perplexity", "BLEU", "ROUGE-1", "ROUGE-2", "ROUGE-L",
    "× first", "KL ≥", "top-1", "tokens/s", "",
)  # fmt: skip
SCORES = ("bleu", "rouge-1", "rouge-2", "rouge-l")
STEPS = RESULTS / "table1"
"""Where whole steps are kept until the table is made."""

REQUANTISE = Path(__file__).parent / "children" / "requantise_gguf.py"

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: `windows` of the text (None: all) and `continuations` (0: all paragraphs)."""

    windows: int | None
    continuations: int


QUICK, USUAL, FULL = Plan(4, 16), Plan(8, 24), Plan(None, 0)


def smollm2(folder: Path) -> list[Import]:
    """Return SmolLM2 in each format; the only weights here are Q4_1's, so all others are made of those."""
    gguf, q8 = gguf_file(), folder / "q8_0.gguf"
    subprocess.run([sys.executable, str(REQUANTISE), str(gguf), str(q8), "Q8_0"], check=True)
    return [
        Import("bf16-smollm2-135m", str(gguf), DENSE),
        Import("int8-smollm2-135m", str(gguf), ("--quantize", "int8")),
        Import("q8_0-smollm2-135m", str(q8)),
        Import("q4_1-smollm2-135m", str(gguf)),
    ]


class Commands:
    """The `quickthaw` command against a platform. What each printed is in a folder, so that a stopped run goes on."""

    def __init__(self, data_dir: Path, text: Path, plan: Plan, protocol: str, folder: Path) -> None:
        self._env = os.environ | {"QUICKTHAW_DATA_DIR": str(data_dir)}
        self._folder = folder
        self._text = text
        self._plan = plan
        self._protocol = protocol

    def compare(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Measure perplexities, and what each form loses against the first; one form alone is compared with itself."""
        limit = () if self._plan.windows is None else ("--limit", str(self._plan.windows))
        several = [*names, *names][: max(2, len(names))]
        found: list[dict[str, Any]] = self._run("models", "compare", *several, "--protocol", self._protocol, *limit)
        return found[: len(names)]

    def quality(self, name: str) -> dict[str, Any]:
        """Measure continuations."""
        found: dict[str, Any] = self._run(
            "validate", name, "--quality", "--continuations", str(self._plan.continuations)
        )
        return found

    def _run(self, *words: str) -> Any:
        command = [program("quickthaw"), *words, "--text", str(self._text), "--json"]
        kept = self._folder / f"{sha256(json.dumps(command).encode()).hexdigest()[:32]}.json"
        if kept.exists():
            click.echo("  measured by the run before, which was stopped", err=True)
            return json.loads(kept.read_text())
        printed = subprocess.run(command, check=True, env=self._env, stdout=subprocess.PIPE, text=True).stdout
        self._folder.mkdir(parents=True, exist_ok=True)
        write_text(kept, printed)
        return json.loads(printed)


def measurements(commands: Commands, names: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what each form loses, and its continuations. Each step is said; its command shows a bar."""
    steps = 1 + len(names)
    click.echo(f"1 of {steps}: perplexities of {', '.join(names)}", err=True)
    found, qualities = commands.compare(names), []
    for number, name in enumerate(names, 2):
        click.echo(f"{number} of {steps}: continuations of {name}", err=True)
        qualities.append(commands.quality(name))
    return found, qualities


def measured(form: Mapping[str, Any], quality: Mapping[str, Any]) -> Row:
    """Return the row of a form that was measured."""
    result, checkpoint, losses = form["result"], form["checkpoint"], form["losses"]
    stride = "" if result["stride"] is None else f", stride {result['stride']}"
    part = "" if result["limit"] is None else f", first {result['limit']} only"
    scores = {f"{name.upper()}": _measure(quality["figures"][name]) for name in SCORES}
    return {
        "model": result["subject"]["checkpoint"],
        "stored as": checkpoint["quantization"] or checkpoint["dtype"],
        "engine": result["subject"]["engine"],
        "size": size(checkpoint["bytes"]),
        "protocol": f"{result['protocol']}, window {result['window']}{stride}{part}",
        "perplexity": _perplexity(result["perplexity"]),
        **scores,
        "× first": "" if losses is None else f"{losses['ratio']['value']:.4f}",
        "KL ≥": "" if losses is None else f"{losses['divergence']['value']:.4f}",
        "top-1": "" if losses is None else f"{losses['agreement']['value']:.1f}%",
        "tokens/s": f"{result['tokens_per_second']:,.0f}",
        "": "measured",
    }


def floors(quality: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of continuations that need no model."""
    for name, found in quality["floors"].items():
        yield {"model": f"floor: {name}", **{n.upper(): _measure(found[n]) for n in SCORES}, "": "measured"}


def reported() -> Iterator[Row]:
    """Yield the published rows."""
    for figure in published().figures:
        yield {
            "model": figure.model,
            "stored as": figure.stored_as or "",
            "protocol": f"{figure.protocol}, {figure.settings}",
            "perplexity": f"{figure.perplexity:g}",
            "": f"*reported*: [{figure.source}]({figure.url}), read {published().read}",
        }


def table(rows: Sequence[Row]) -> str:
    """Return the rows in Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *(tuple(row.get(name, "") or "-" for name in HEAD) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def written(document: str, text: str) -> str:
    """Return the document with the table in its place; ValueError where the place is not marked."""
    before, mark, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"the document has no place for the table: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def _perplexity(measure: Mapping[str, Any]) -> str:
    found = measure["interval"]
    interval = "" if found is None else f" ({found['low']:.2f} to {found['high']:.2f})"
    return f"{measure['value']:.3f}{interval}"


def _measure(figure: Mapping[str, Any]) -> str:
    interval = "" if figure["low"] is None else f" ({figure['low']:.1f} to {figure['high']:.1f})"
    return f"{figure['value']:.1f}{interval}"


@click.command()
@click.option("--quick", is_flag=True, help="Next to nothing, to see that it runs.")
@click.option("--full", is_flag=True, help="The whole text and all of its paragraphs: hours on a small machine.")
@click.option("--text", type=click.Path(exists=True, path_type=Path), default=TEXT, help="WikiText-2's test split.")
@click.option("--protocol", default="hf", show_default=True, help="Of the perplexities.")
@click.option("--model", metavar="SOURCE", help="Measure this model in place of SmolLM2: any source of models import.")
@click.option("--name", default="model", show_default=True, help="What that model is called.")
@click.option("--anew", is_flag=True, help="Keep nothing of a run that was stopped.")
@click.option("--write", is_flag=True, help="Write the table into docs/validation.md.")
def main(
    quick: bool, full: bool, text: Path, protocol: str, model: str | None, name: str, anew: bool, write: bool
) -> None:
    """Measure, and print the table. A run that was stopped goes on behind its last whole step."""
    end_on_sigterm()
    if anew:
        shutil.rmtree(STEPS, ignore_errors=True)
    plan = QUICK if quick else FULL if full else USUAL
    with tempfile.TemporaryDirectory() as scratch:
        click.echo("importing the model in each format", err=True)
        forms = smollm2(Path(scratch)) if model is None else [Import(name, model)]
        with Served(forms) as served:
            served.wait_for_models()
            commands = Commands(served.data_dir, text, plan, protocol, STEPS / (model or "smollm2").replace("/", "-"))
            found, qualities = measurements(commands, [form.name for form in forms])
    rows = [*map(measured, found, qualities), *floors(qualities[0]), *reported()]
    made = table(rows)
    click.echo(made)
    shutil.rmtree(STEPS, ignore_errors=True)
    if write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main()
