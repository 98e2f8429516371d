"""Options of `quickthaw compare`: what is compared, under which traffic, and how it is reported."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from quickthaw.cli.ranges import SEED
from quickthaw_platform.commands.traffic_options import DURATION, POSITIVE, TrafficChoices, traffic_options
from quickthaw_platform.comparison.sides import EndpointSide
from quickthaw_platform.traffic.planning import TIMEOUT_SECONDS

F = TypeVar("F", bound=Callable[..., Any])


class CompareChoices(TrafficChoices):
    """What the options below give to the command, beside those of the traffic."""

    backends: Sequence[str]
    replicas: int
    max_instances: int | None
    endpoint: Mapping[str, str]
    endpoint_model: Mapping[str, str]
    endpoint_command: Mapping[str, str]
    endpoint_body: Mapping[str, str]
    endpoint_key: Mapping[str, str]
    again: bool
    minutes: float
    repeats: int | None
    in_turn: bool
    seed: int
    probe: bool
    slo_ttft: float
    slo_tpot: float
    timeout: float
    memory_gib: float | None
    vcpus: float | None
    gpu: str | None
    prices: Sequence[str]
    like: str
    ablation: Mapping[str, str]
    simulate: bool
    simulated_rates: Sequence[float]
    nodes: int
    out: Path | None
    from_folder: Path | None
    progress: bool
    as_json: bool


class NamesType(click.ParamType[tuple[str, ...]]):
    """Names with commas between them."""

    name = "names"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names; an empty text is none."""
        if not isinstance(value, str):
            return tuple(value) if isinstance(value, Sequence) else self.fail(f"{value!r} is not text", param, ctx)
        return tuple(name.strip() for name in value.split(",") if name.strip())


def _by_name(_ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name or not text:
            raise click.BadParameter(f"{value!r}: write {param.metavar}", param=param)
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice", param=param)
        found[name] = text
    return found


def _named(option: str, metavar: str, text: str) -> Callable[[F], F]:
    return click.option(option, multiple=True, metavar=metavar, callback=_by_name, help=text)


_OPTIONS = (
    click.option(
        "--backends", type=NamesType(), default="serverless,serverful", show_default=True, metavar="NAME,…",
        help="Serving backends to run TARGET on: serverless, serverful, hybrid.",
    ),
    click.option("--replicas", type=click.IntRange(1), default=1, show_default=True,
                 help="Instances always on, of serverful and hybrid."),
    click.option("--max-instances", type=click.IntRange(1), help="Most instances of serverless and hybrid."),
    _named("--endpoint", "NAME=URL", "An OpenAI-compatible server beside them, up to and without /v1; repeatable."),
    _named("--endpoint-model", "NAME=MODEL", "The model to ask for there; by default TARGET's."),
    _named("--endpoint-command", "NAME=COMMAND", "Starts that server for each block, and ends it."),
    _named("--endpoint-body", "NAME=JSON", "Further fields of each request there."),
    _named("--endpoint-key", "NAME=VARIABLE", "Environment variable that holds the API key there."),
    click.option("--again", is_flag=True, help="Run the first side twice (A/A): the difference is noise."),
    click.option("--minutes", type=POSITIVE, default=1.0, show_default=True, help="Length of one block."),
    click.option("--repeats", type=click.IntRange(1), help="Blocks of each side; 5 of one minute or less, else 1."),
    click.option("--in-turn", is_flag=True, help="All blocks of a side one after another; else interleaved."),
    click.option("--seed", type=SEED, default=0, show_default=True,
                 help="Of arrivals, tokens, prompts and resampling."),
    click.option("--probe/--no-probe", default=True, help="First see by two requests how tokens are counted."),
    click.option("--slo-ttft", type=DURATION, default="2s", show_default=True, help="Limit for the first token."),
    click.option("--slo-tpot", type=DURATION, default="200ms", show_default=True,
                 help="Limit for the mean time of each further token."),
    click.option("--timeout", type=DURATION, default=TIMEOUT_SECONDS, show_default=True,
                 help="A request that is not complete so long after it was to be sent is a miss."),
    click.option("--memory-gib", type=POSITIVE, help="Memory of an instance, for the bill; else what it reserves."),
    click.option("--vcpus", type=POSITIVE, help="Processors of an instance, for the bill; else this machine's."),
    click.option("--gpu", metavar="KIND", help="GPU of an instance, for the bill, as price lists call it."),
    click.option("--price", "prices", multiple=True, metavar="OFFER",
                 help="Offer to price with (`quickthaw prices ls`), repeatable; else all that fit."),
    click.option("--like", default="llama-3.1-8b", show_default=True, metavar="MODEL",
                 help="Model whose price per token at APIs stands beside."),
    _named("--ablation", "PART:LABEL=FOLDER", "A run in which PART was changed to LABEL, beside this one."),
    click.option("--simulate", is_flag=True, help="Also simulate other rates, calibrated by the run."),
    click.option("--simulated-rate", "simulated_rates", type=POSITIVE, multiple=True, metavar="RATE",
                 help="Requests per second to simulate; repeatable."),
    click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Nodes to simulate."),
    click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the report."),
    click.option("--from", "from_folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
                 help="Make the report of an earlier run again, and measure nothing."),
    click.option("--progress/--no-progress", default=True, help="Show how far it is."),
    click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
)  # fmt: skip


def compare_options(command: F) -> F:
    """Add them all, those of the traffic too."""
    command = traffic_options(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


OF_A_REPORT = frozenset({"prices", "like", "ablation", "simulate", "simulated_rates", "nodes", "progress", "as_json"})
"""Options that mean something to a run that was measured before, besides --from."""
OF_A_SIMULATION = frozenset({"simulated_rates", "nodes"})


def refuse_what_counts_for_nothing(context: click.Context) -> None:
    """Raise click.UsageError for an option that was given and would change nothing."""
    given = [
        param for param in context.command.params
        if param.name and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]  # fmt: skip
    names = {param.name: max(param.opts, key=len) for param in given}
    measured = sorted(names[name] for name in names if name not in OF_A_REPORT | {"from_folder", "target"})
    if "from_folder" in names and measured:
        raise click.UsageError(f"{', '.join(measured)}: --from measures nothing; that is as it was in that run")
    simulated = sorted(names[name] for name in names if name in OF_A_SIMULATION)
    if simulated and "simulate" not in names:
        raise click.UsageError(f"{', '.join(simulated)}: nothing is simulated without --simulate")
    if "replicas" in names and not {"serverful", "hybrid"} & set(context.params["backends"]):
        raise click.UsageError("--replicas: none of --backends has instances that are always on (serverful, hybrid)")


def endpoints(options: CompareChoices, default_model: str) -> dict[str, EndpointSide]:
    """Return the endpoints by name; click.UsageError where an option names one that is not there, or is no JSON."""
    for option in ("endpoint_model", "endpoint_command", "endpoint_body", "endpoint_key"):
        unknown = sorted(set(options[option]) - set(options["endpoint"]))
        if unknown:
            raise click.UsageError(
                f"--{option.replace('_', '-')} names {unknown[0]!r}, of which there is no --endpoint"
            )
    return {
        name: EndpointSide(
            url.rstrip("/").removesuffix("/v1"),
            options["endpoint_model"].get(name, default_model),
            options["endpoint_command"].get(name),
            _body(name, options["endpoint_body"].get(name, "{}")),
            _key(name, options["endpoint_key"].get(name)),
        )
        for name, url in options["endpoint"].items()
    }


def _body(name: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--endpoint-body {name}: {error}") from error
    if not isinstance(found, dict):
        raise click.UsageError(f"--endpoint-body {name}: {text!r} is not a JSON object")
    return found


def _key(name: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable, "").strip():
        raise click.UsageError(f"--endpoint-key {name}: the environment has no variable {variable!r}, or an empty one")
    return os.environ[variable]


def changed_runs(options: CompareChoices) -> list[tuple[str, str, Path]]:
    """Return the part, the label and the folder of each run that --ablation names."""
    found = []
    for name, folder in options["ablation"].items():
        part, colon, label = name.partition(":")
        if not colon or not part or not label:
            raise click.UsageError(f"--ablation {name!r}: write PART:LABEL=FOLDER, for example keep-alive:fixed=run-2")
        found.append((part, label, Path(folder)))
    return found
