"""`quickthaw models verify`: read every byte of this machine's checkpoints and compare them with their manifests."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from quickthaw_platform import settings as settings_module
from quickthaw_platform.checkpoints.manifest import FILE_NAME, Manifest, read_manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.verifying import Fault, find_faults
from quickthaw_platform.errors import CheckpointBroken, CheckpointNotFound


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one checkpoint."""

    id: str
    name: str | None  # None: its manifest cannot be read
    source: str | None
    faults: tuple[Fault, ...]


@click.command("verify")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
def models_verify(name: str | None, as_json: bool) -> None:
    """Read all checkpoints on this machine's disk, or those called NAME, and compare them with their checksums.

    Ends with status 1 if anything is wrong, and says which file and chunk and what to do.
    """
    store = DiskStore(settings_module.load().checkpoints_dir)
    manifests = {directory: _manifest(directory) for directory in sorted(store.directories())}
    chosen = {directory: found for directory, found in manifests.items() if _is_meant(directory, found, name)}
    if name is not None and not chosen:
        names = {found.name for found in manifests.values() if isinstance(found, Manifest)}
        raise CheckpointNotFound.named(name, names, "Import one with `quickthaw models import SOURCE`.")
    verdicts = _verify(chosen)
    if as_json:
        click.echo(json.dumps([asdict(verdict) for verdict in verdicts]))
    else:
        click.echo("\n".join(line for verdict in verdicts for line in _lines(verdict)) or "no checkpoint is here yet")
    if any(verdict.faults for verdict in verdicts):
        sys.exit(1)


def _manifest(directory: Path) -> Manifest | CheckpointBroken:
    try:
        return read_manifest(directory)
    except CheckpointBroken as error:
        return error


def _is_meant(directory: Path, found: Manifest | CheckpointBroken, name: str | None) -> bool:
    return name in (None, directory.name) or (isinstance(found, Manifest) and found.name == name)


def _verify(chosen: dict[Path, Manifest | CheckpointBroken]) -> list[Verdict]:
    whole = [found for found in chosen.values() if isinstance(found, Manifest)]
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=sum(file.bytes for m in whole for file in m.every_file))
        return [_verdict(directory, found, progress, task) for directory, found in chosen.items()]


def _verdict(directory: Path, found: Manifest | CheckpointBroken, progress: Progress, task: TaskID) -> Verdict:
    if isinstance(found, CheckpointBroken):
        what = found.message.removeprefix(f"{directory / FILE_NAME} ")
        return Verdict(directory.name, None, None, (Fault(FILE_NAME, what),))
    progress.update(task, description=f"reading {found.name}")
    faults = find_faults(directory, found, lambda size: progress.advance(task, size))
    return Verdict(directory.name, found.name, found.source, tuple(faults))


def _lines(verdict: Verdict) -> list[str]:
    title = f"{verdict.name or '(unknown)'} {verdict.id}"
    if not verdict.faults:
        return [f"{title}: whole"]
    lines = [f"{title}: broken"]
    for fault in verdict.faults:
        place = fault.file if fault.chunk is None else f"{fault.file}, chunk {fault.chunk}"
        lines.append(f"  {place}: {fault.what}")
    again = verdict.source or "SOURCE"
    lines.append(f"  do: quickthaw models rm {verdict.id}, then quickthaw models import {again}")
    lines.append("  (a worker with a remote tier that has it fetches wrong chunks again at the next start)")
    return lines
