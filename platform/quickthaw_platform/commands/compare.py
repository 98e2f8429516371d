"""`quickthaw compare`: the same traffic on several serving backends, metered, priced and reported."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click
import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from quickthaw import config, loading
from quickthaw.cli.root import State, pass_state
from quickthaw.client import Client
from quickthaw.errors import InvalidRequest
from quickthaw.resources import DEFAULT_ALIAS, CheckpointInfo
from quickthaw.types import FunctionSpec
from quickthaw_platform import settings, signals
from quickthaw_platform.commands.compare_options import (
    CompareChoices,
    changed_runs,
    compare_options,
    endpoints,
    refuse_what_counts_for_nothing,
)
from quickthaw_platform.commands.traffic_options import chosen_sizes, chosen_traffic
from quickthaw_platform.comparison.machine import describe_machine, source_commit
from quickthaw_platform.comparison.recording import Arrivals, Instance, Recording, Slo
from quickthaw_platform.comparison.sides import Side, sides
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.registry.engines import default_engine
from quickthaw_platform.serving import Endpoint
from quickthaw_platform.traffic import generator
from quickthaw_platform.traffic.planning import LoadPlan, Sizes, make_plan
from quickthaw_platform.traffic.prompts import Prompts, read_corpus
from quickthaw_platform.traffic.slo import Slo as LoadSlo
from quickthaw_platform.traffic.words import random_text

if TYPE_CHECKING:
    from quickthaw_platform.comparison.rendering import Choices

GIB = 1 << 30
OUT_PART = 4
"""Of the model's context, the longest answer takes at most one part in so many, unless told."""

TEMPLATE_TOKENS = 64
"""Left for what a chat template adds to a prompt."""

SHORT_MINUTES = 1.0
SHORT_REPEATS = 5
"""Runs as short as that are repeated so often, longer ones are not, unless asked for."""


@click.command("compare")
@click.argument("target", required=False)
@compare_options
@pass_state
def compare(state: State, target: str | None, **options: Unpack[CompareChoices]) -> None:
    """Serve TARGET on several backends, send each the same requests, and report what each costs and how fast it is.

    TARGET is a deployed function, or file.py, file.py:function as in a deploy. The folder --out holds report.html and
    all that it was made of. Ctrl-C ends the run and keeps what was measured. See docs/comparison.md.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    refuse_what_counts_for_nothing(click.get_current_context())
    _require(options)
    if options["from_folder"] is not None:
        if target is not None:
            raise click.UsageError("give either a TARGET to measure, or --from FOLDER to render")
        folder = options["from_folder"]
    elif target is None:
        raise click.UsageError("name the function to compare, or a folder to render with --from")
    else:
        folder = _measure(state.client, target, options)
    _render(folder, options)


def _measure(client: Client, target: str, options: CompareChoices) -> Path:
    from quickthaw_platform.comparison.deploying import Gateway, Stage  # pyarrow takes a while to import
    from quickthaw_platform.comparison.journal import only_one
    from quickthaw_platform.comparison.runner import Plan, Runner, Watching
    from quickthaw_platform.comparison.writing import make_folder

    signals.supervise()  # it starts servers, and ends them at Ctrl-C
    spec = _spec(client, target)
    chosen = sides(
        spec, options["backends"], endpoints(options, spec.name), replicas=options["replicas"],
        max_instances=options["max_instances"], again=options["again"],
    )  # fmt: skip
    checkpoint = client.checkpoint(spec.model)
    load = _load_plan(options, checkpoint.context_tokens)
    folder = options["out"] or Path(f"compare-{spec.name}-{datetime.now():%Y%m%d-%H%M%S}")
    kept = client.results(spec.model)
    recording = _recording(spec, checkpoint, chosen, load, options).model_copy(update={"validations": kept})
    _require(options, recording.instance)
    known = client.endpoint
    headers = {"Authorization": f"Bearer {known.api_key}"} if known.api_key else {}
    gateway = Gateway(client, Endpoint(known.url, spec.name, headers))
    screen = Console(stderr=True)
    for note in load.notes:
        screen.print(note, markup=False, highlight=False)
    with only_one(config.client_file().parent) as journal:
        make_folder(folder)
        plan = Plan(chosen, load, recording, folder, probe=options["probe"], calibrate=options["simulate"])
        watching = Watching(lambda text: screen.print(text, markup=False, highlight=False), _progress(screen, options))
        Runner(plan, Stage(chosen, gateway, journal), watching).run()
    return folder


def _spec(client: Client, target: str) -> FunctionSpec:
    """Return what a TARGET means. A file's function is deployed first, as `quickthaw deploy` does."""
    if ".py" not in target:
        weights = {alias.name: alias.weights for alias in client.aliases(target)}.get(DEFAULT_ALIAS, {})
        live = max(client.versions(target), key=lambda version: (weights.get(version.id, 0.0), version.number))
        return live.spec
    path, _, name = target.rpartition(":") if ".py:" in target else (target, "", "")
    found = loading.functions(Path(path), name or None)
    if len(found) != 1:
        names = ", ".join(function.name for function in found)
        raise InvalidRequest(f"{path} has the functions {names}; name one: {path}:NAME")
    return client.deploy(found[0].spec()).spec


def _load_plan(options: CompareChoices, context_tokens: int) -> LoadPlan:
    """Return the requests; unless told, none is longer than the model's context holds."""
    sizes = chosen_sizes(options)
    most_out = sizes.most_out or max(1, context_tokens // OUT_PART)
    most_in = sizes.most_in or max(1, context_tokens - most_out - TEMPLATE_TOKENS)
    corpus = random_text() if options["corpus"] is None else read_corpus(options["corpus"])
    return make_plan(
        chosen_traffic(options), 60 * options["minutes"], options["seed"],
        prompts=Prompts(corpus, options["seed"], options["shared_prefix"]),
        slo=LoadSlo(options["slo_ttft"], options["slo_tpot"]), timeout=options["timeout"],
        sizes=Sizes(sizes.scale, most_in, most_out),
    )  # fmt: skip


def _recording(
    spec: FunctionSpec, checkpoint: CheckpointInfo, chosen: list[Side], load: LoadPlan, options: CompareChoices
) -> Recording:
    repeats = options["repeats"] or (SHORT_REPEATS if options["minutes"] <= SHORT_MINUTES else 1)
    return Recording(
        created_at=time.time(),
        command=shlex.join(["quickthaw", *sys.argv[1:]]),
        commit=source_commit(),
        machine=describe_machine(),
        function=spec.name,
        model=spec.model,
        checkpoint=checkpoint.id,
        dtype=checkpoint.quantization or checkpoint.dtype or "",
        engine=spec.engine or default_engine(checkpoint.weights_format),
        arrivals=_arrivals(load),
        backends=[side.recorded() for side in chosen],
        repeats=repeats,
        order="in turn" if options["in_turn"] else "interleaved",
        slo=Slo(ttft=options["slo_ttft"], tpot=options["slo_tpot"]),
        instance=_instance(spec, checkpoint, options),
    )


def _arrivals(load: LoadPlan) -> Arrivals:
    return Arrivals(
        label=load.label, kind=load.label, synthetic=load.drawn, digest=load.digest, rate=load.rate, cv=load.cv,
        fano=load.fano, count=len(load), seconds=load.seconds, seed=load.seed,
        tokens_in=float(load.tokens_in.mean()) if len(load) else None,
        tokens_out=float(load.tokens_out.mean()) if len(load) else None, notes=list(load.notes),
    )  # fmt: skip


def _instance(spec: FunctionSpec, checkpoint: CheckpointInfo, options: CompareChoices) -> Instance:
    """Say what one instance is: its own memory and its weights, on all processors of this machine unless told."""
    own = settings.load().instance_memory if spec.memory is None else spec.memory
    return Instance(
        memory_gib=options["memory_gib"] or (own + checkpoint.bytes) / GIB,
        vcpus=options["vcpus"] or float(os.cpu_count() or 1),
        gpu=options["gpu"],
        gpus=1 if options["gpu"] else 0,
        keep_alive=spec.keep_alive,
        concurrency=spec.concurrency,
        max_instances=options["max_instances"] or spec.max_instances,
    )


def _progress(
    screen: Console, options: CompareChoices
) -> Callable[[str], contextlib.AbstractContextManager[Callable[[generator.Progress], None] | None]]:
    @contextlib.contextmanager
    def shown(what: str) -> Iterator[Callable[[generator.Progress], None] | None]:
        if not options["progress"] or not screen.is_terminal:
            yield None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=screen, transient=True) as bars:
            task = bars.add_task(what, total=60 * options["minutes"])

            def show(now: generator.Progress) -> None:
                text = f"{what}: {now.sent}/{now.planned} sent, {now.running} in flight, {now.failed} failed"
                bars.update(task, completed=now.seconds, description=text)

            yield show

    return shown


def _choices(options: CompareChoices) -> Choices:
    from quickthaw_platform.comparison.rendering import Choices  # matplotlib takes a second

    return Choices(prices=options["prices"], tokens_like=options["like"], changed=changed_runs(options))


def _require(options: CompareChoices, instance: Instance | None = None) -> None:
    """Refuse what the report is asked to show and cannot, before anything is measured."""
    from quickthaw_platform.comparison.rendering import require

    require(_choices(options), settings.load().own_prices_dir, instance)


def _render(folder: Path, options: CompareChoices) -> None:
    from quickthaw_platform.comparison.rendering import render, simulate_folder

    screen = Console(stderr=True)

    def say(text: str) -> None:
        screen.print(text, markup=False, highlight=False)

    not_simulated = None
    if options["simulate"]:
        try:
            simulate_folder(folder, options["simulated_rates"], options["nodes"], say)
        except SettingsInvalid as error:  # what was measured is worth a report all the same
            not_simulated = error.message
    report = render(folder, _choices(options), settings.load().own_prices_dir)
    if options["as_json"]:
        click.echo(report.model_dump_json(indent=2))
    else:
        click.echo(report.answer.sentence)
        click.echo(f"report: {folder / 'report.html'}")
    if not_simulated is not None:
        raise click.ClickException(f"nothing was simulated: {not_simulated}")
    if report.header.interrupted:
        raise click.ClickException("interrupted: the report is of what was measured until then")
