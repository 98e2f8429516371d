"""`quickthaw ps`, `drain`, `stop`: what runs where."""

from __future__ import annotations

import click

from quickthaw.cli import output
from quickthaw.cli.root import State, pass_state
from quickthaw.cli.visible import visible
from quickthaw.resources import InstanceInfo, NodeInfo
from quickthaw.types import Network

NO_NODES = "No nodes. Start one: quickthaw up, or on another machine: quickthaw worker"
NO_INSTANCES = "No instances: everything has scaled to zero."

_NODE_COLUMNS = (
    "NODE", "STATE", "DEVICE", "ISOLATION", "NETWORK", "FREE", "MEMORY", "CHECKPOINTS", "TEMPLATES", "PRIMED",
    "ASLEEP", "INSTANCES", "ARRIVING", "GB/S", "LABELS",
)  # fmt: skip


@click.command()
@output.json_option
@pass_state
def ps(state: State, as_json: bool) -> None:
    """Show the nodes and the instances on them."""
    nodes, instances = state.client.nodes(), state.client.instances()
    if as_json:
        output.print_json({"nodes": output.plain(nodes), "instances": output.plain(instances)})
        return
    output.table(_NODE_COLUMNS, map(_node, nodes), NO_NODES)
    for node in nodes:
        if node.not_stronger:
            click.echo(f"{node.id} isolates no further: {visible(node.not_stronger)}", err=True)
        if node.not_bounded:
            bounded = ", ".join(node.control_groups) or "nothing"
            click.echo(f"{node.id} bounds in control groups: {bounded}; {visible(node.not_bounded)}", err=True)
    click.echo()
    columns = ("INSTANCE", "FUNCTION", "VERSION", "NODE", "STATE", "IN USE", "MEMORY", "NETWORK", "STARTED")
    output.table(columns, map(_instance, instances), NO_INSTANCES)


def _node(node: NodeInfo) -> tuple[object, ...]:
    free, all_ = output.size(node.memory_free_bytes), output.size(node.memory_bytes)
    counts = len(node.checkpoints), len(node.templates), len(node.primed), len(node.asleep), node.instances
    arriving = output.size(sum(node.arriving.values())) if node.arriving else None
    speeds = ", ".join(f"{tier} {speed / 1e9:.2g}" for tier, speed in node.bandwidths.items())
    labels = ", ".join(f"{name}={value}" for name, value in sorted(node.labels.items()))
    network = None if node.network is Network.HOST else node.network.value
    return node.id, node.state, node.device, node.isolation, network, free, all_, *counts, arriving, speeds, labels


def _instance(found: InstanceInfo) -> tuple[object, ...]:
    used, started = f"{found.in_use}/{found.concurrency}", output.when(found.created_at)
    memory, network = output.size(found.memory_bytes), _network(found)
    return found.id, found.function, found.version, found.node, found.state, used, memory, network, started


def _network(found: InstanceInfo) -> str | None:
    """Say what an instance reaches; None where that is what its node reaches, as is usual."""
    if found.network is Network.HOST:
        return None
    return ": ".join(filter(None, (found.network.value, ", ".join(found.egress))))


@click.command()
@click.argument("node")
@output.json_option
@pass_state
def drain(state: State, node: str, as_json: bool) -> None:
    """Let a node finish what runs and take nothing new."""
    found = state.client.drain_node(node)
    if as_json:
        output.print_json(found)
        return
    click.echo(f"{found.id} is {found.state}: it takes nothing new; {found.instances} instances left")
    click.echo("it comes back when its worker is started again: end that process, and its supervisor does so", err=True)


@click.command()
@click.argument("instance")
@pass_state
def stop(state: State, instance: str) -> None:
    """Let an instance finish what runs, and end it."""
    state.client.stop_instance(instance)
    click.echo(f"stopping {instance}")
