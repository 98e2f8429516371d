"""`quickthaw deploy`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from quickthaw import calls, checking, limit_options, loading
from quickthaw.cli import arguments, output
from quickthaw.cli.root import State, pass_state
from quickthaw.client import Client
from quickthaw.errors import CheckpointNotFound
from quickthaw.resources import DEFAULT_ALIAS
from quickthaw.types import FunctionSpec, Version

ANNOUNCED_SECONDS = 3.0
"""A node announces what lies on its disk with each heartbeat: twice a second, or later where it is busy."""

LOOK_SECONDS = 0.2


@click.command()
@click.argument("target", required=False)
@click.option("--model", metavar="CHECKPOINT", help="Deploy a checkpoint with the built-in handler, without code.")
@click.option("--name", help="Name of the function (with --model).")
@click.option("--engine", help="Engine that runs it (with --model).")
@click.option("--adapter", metavar="CHECKPOINT", help="LoRA adapter to put on the model (with --model).")
@click.option("--backend", help="How it is served: serverless, serverful or hybrid (with --model).")
@click.option("--replicas", type=int, metavar="N", help="Instances always on: serverful, hybrid (with --model).")
@click.option("--keep-alive", metavar="DURATION", help="How long an idle instance stays (with --model).")
@click.option("--min-instances", type=int, metavar="N", help="Instances kept without calls (with --model).")
@click.option("--max-instances", type=int, metavar="N", help="Most instances (with --model).")
@click.option("--concurrency", type=int, metavar="N", help="Invocations an instance serves at a time (with --model).")
@click.option("--queue-size", type=int, metavar="N", help="Invocations that may wait (with --model).")
@click.option("--timeout", metavar="DURATION", help="Limit of a whole invocation (with --model).")
@click.option("--memory", metavar="SIZE", help="Memory for handler and KV cache (with --model).")
@click.option("--max-tokens", type=int, metavar="N", help="Tokens of an answer by default: 2,048 (with --model).")
@click.option("--max-tokens-limit", type=int, metavar="N", help="Most tokens of an answer (with --model).")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Kind of device it runs on (with --model).")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of its nodes (with --model).")
@click.option("--spread", is_flag=True, default=None, help="Rather one instance a node (with --model).")
@click.option("--weight", type=float, metavar="X", help="Share when functions compete for room (with --model).")
@click.option("--target-utilisation", type=float, metavar="PART", help="Part of slots to be in use (with --model).")
@click.option("--resumable/--no-resumable", default=None, help="Calls go on elsewhere (with --model).")
@click.option("--system", metavar="TEXT", help="System message of its chats, or @FILE (with --model).")
@click.option("--tools", metavar="FILE", help="JSON list of the tools of its chats (with --model).")
@click.option("--prefix", metavar="TEXT", help="Text that completions begin with, or @FILE (with --model).")
@click.option("--compress", metavar="PART", help="Part of long texts in prompts that is kept, or JSON (with --model).")
@click.option("--isolation", type=click.Choice(["strict", "process", "none"]), help="At least (with --model).")
@click.option("--network", type=click.Choice(["none", "egress", "host"]), help="What it reaches (with --model).")
@click.option("--egress", multiple=True, metavar="HOST", help="With --network egress: only this (with --model).")
@click.option("--env", multiple=True, metavar="KEY=VALUE", help="Variable that deploy keys may read (with --model).")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Engine option (with --model).")
@click.option("--check", "only_check", is_flag=True, help="Check source, imports and signatures; deploy nothing.")
@click.option("--alias", default=DEFAULT_ALIAS, show_default=True, help="Alias to point to the new version.")
@click.option("--require", multiple=True, metavar="BAR", help="Only if it clears: perplexity[hf,wikitext-2]<=20.")
@output.json_option
@pass_state
def deploy(
    state: State,
    /,
    target: str | None,
    alias: str,
    require: tuple[str, ...],
    as_json: bool,
    only_check: bool,
    **given: Any,
) -> None:
    """Deploy functions: TARGET is file.py, file.py:app or file.py:function; or use --model and --name.

    The same source and settings again make no new version. What runs is not interrupted.
    """
    specs = _specs(target, {name: value for name, value in given.items() if value not in (None, ())})
    if only_check:
        _check(specs, as_json)
        return
    deployed = [_deployed(state.client, spec, alias, require) for spec in specs]
    if as_json:
        output.print_json(deployed)
        return
    for version in deployed:
        _print(version, alias, state.client.endpoint.url)


def _deployed(client: Client, spec: FunctionSpec, alias: str, require: tuple[str, ...]) -> Version:
    """Deploy a function; a checkpoint that was imported just now is known once a node has announced it."""
    deadline = time.monotonic() + ANNOUNCED_SECONDS
    while True:
        try:
            return client.deploy(spec, alias, require)
        except CheckpointNotFound:
            if time.monotonic() >= deadline:
                raise
        time.sleep(LOOK_SECONDS)


def _check(specs: list[FunctionSpec], as_json: bool) -> None:
    for spec in specs:
        checking.check(spec)
    if as_json:
        output.print_json(specs)
        return
    for spec in specs:
        click.echo(f"{spec.name}  can be deployed")
        if spec.handler is not None:
            click.echo(f"  handler  {spec.handler.object} in {spec.handler.file}")
            click.echo(f"  takes    {', '.join(spec.handler.parameters['properties']) or 'nothing'}")
            click.echo(f"  bundle   {', '.join(spec.source)}")


def _specs(target: str | None, given: dict[str, Any]) -> list[FunctionSpec]:
    if target is None:
        if "model" not in given or "name" not in given:
            raise click.UsageError("name a file to deploy, or give --model and --name")
        return [_bare(given)]
    if "model" in given or "name" in given:
        raise click.UsageError("give either a file, or --model and --name")
    if given:
        option = "--" + next(iter(given)).replace("_", "-")
        raise click.UsageError(f"{option} goes with --model; for a file, write it into @app.function(…)")
    path, _, name = target.rpartition(":") if ".py:" in target else (target, "", "")
    return [function.spec() for function in loading.functions(Path(path), name or None)]


def _bare(given: dict[str, Any]) -> FunctionSpec:
    fields = dict(given)
    if "timeout" in fields:
        fields["limits"] = limit_options.limits_of({"timeout": fields.pop("timeout")})
    for name in ("env", "labels"):
        if name in fields:
            fields[name] = arguments.texts(fields[name])
    for name in ("system", "prefix"):
        if name in fields:
            fields[name] = arguments.text(fields[name])
    if "tools" in fields:
        fields["tools"] = arguments.json_list(Path(fields["tools"]))
    if "compress" in fields:
        fields["compress"] = arguments.compression(fields["compress"])
    if "options" in fields:
        fields["options"] = arguments.pairs(fields["options"])
    return calls.request(FunctionSpec, **fields)


def _print(version: Version, alias: str, url: str) -> None:
    click.echo(f"{version.function}  version {version.number} ({version.id}), alias {alias}")
    if version.unchanged:
        click.echo(f"  no new version: this source and these settings were version {version.number} already")
    click.echo(f"  invoke   POST {url}/v1/functions/{version.function}/invoke")
    click.echo(f"  trigger  POST {url}/t/{version.function}")
    click.echo(f"  OpenAI   {url}/v1 with model={version.function!r}")
