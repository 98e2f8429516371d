"""`python -m benchmarks.router`: how fast the router decides, and how fast slots are leased on the warm path.

Decisions: every policy on 10, 100 and 1,000 nodes and 10,000 functions, one after another in one process, each decision
taken by the store in memory so that the next one sees it. Leases: several client processes admit and finish calls of
a ready instance on a real Valkey, as gateways and agents do; then all of them race for the last slots.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

import click
from redis import Redis

from benchmarks.report import Cell, Goal, Report, console, publish
from benchmarks.stats import percentile
from quickthaw.types import FunctionSpec, InvocationState, Version
from quickthaw_platform import plugins
from quickthaw_platform.commands import valkey
from quickthaw_platform.commands.ports import claim_port
from quickthaw_platform.contracts import AllocationRequest, NodeState, NodeView, Start, TiersView
from quickthaw_platform.invocations.memory import MemoryCluster
from quickthaw_platform.invocations.records import NewInvocation
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.settings import Settings

NODES = (10, 100, 1000)
FUNCTIONS = 10_000
NODE_BYTES, INSTANCE_BYTES = 80, 20
CHECKPOINT_BYTES = 10 * 10**9
ON_DISK, IN_MEMORY = 40, 10
"""Checkpoints of each node."""

CLIENTS = (1, 2, 4)
SLOTS = 256
RACES, LAST_SLOTS = 400, 3
RACE_CLIENTS = 4


def cluster_of(nodes: int, draw: random.Random) -> MemoryCluster:
    """Return a cluster whose nodes hold some of the checkpoints and can fetch all."""
    cluster = MemoryCluster(lambda: 0.0, capacity=nodes)
    remote = frozenset(f"c{i}" for i in range(FUNCTIONS))

    def some(count: int) -> frozenset[str]:
        return frozenset(f"c{draw.randrange(FUNCTIONS)}" for _ in range(count))

    for i in range(nodes):
        tiers = TiersView(dram=some(IN_MEMORY), bandwidths={"dram": 25e9, "disk": 6e9, "remote": 1.25e9}, remote=remote)
        name, disk = f"n{i:04}", some(ON_DISK)
        cluster.join(NodeView(name, NodeState.READY, "cpu", NODE_BYTES, NODE_BYTES, disk, frozenset(), tiers))
    return cluster


def decide(policy: str, nodes: int, decisions: int) -> dict[str, Cell]:
    """Take decisions and act on each; an instance leaves again when the cluster is three quarters full."""
    draw = random.Random(nodes)
    cluster, chooser = cluster_of(nodes, draw), plugins.allocation_policy(policy)
    spec = FunctionSpec(name="f", model="m", memory=INSTANCE_BYTES)
    versions = [
        Version(id=f"v{i}", function=f"f{i}", number=1, checkpoint=f"c{i}", created_at=0.0, spec=spec)
        for i in draw.choices(range(FUNCTIONS), k=decisions)
    ]
    running: list[str] = []
    most = nodes * NODE_BYTES // INSTANCE_BYTES * 3 // 4
    seconds = []
    for number, version in enumerate(versions):
        request = AllocationRequest(
            version.function, version.id, version.checkpoint, INSTANCE_BYTES, 1, 10**6, CHECKPOINT_BYTES
        )
        began = time.perf_counter()
        decision = chooser.choose(request, cluster.view())
        seconds.append(time.perf_counter() - began)
        if isinstance(decision, Start):
            serving = len(cluster.versions[version.id])
            if not cluster.reserve(_wide(version), decision, f"x{number}", INSTANCE_BYTES, CHECKPOINT_BYTES, serving):
                raise click.ClickException(f"{policy} chose what is not there: {decision}")
            running.append(f"x{number}")
        if len(running) >= most:
            cluster.remove(running.pop(draw.randrange(len(running))))
    return {
        "what": f"decisions, {policy}",
        "size": f"{nodes} nodes",
        "per second": len(seconds) / sum(seconds),
        "p50 ms": percentile(seconds, 50) * 1e3,
        "p99 ms": percentile(seconds, 99) * 1e3,
    }


def _wide(version: Version) -> Version:
    return version.model_copy(update={"spec": version.spec.model_copy(update={"max_instances": 1000})})


@contextmanager
def running_valkey() -> Iterator[str]:
    """Run a Valkey and yield its URL."""
    with tempfile.TemporaryDirectory() as folder:
        file, url = valkey.configure(Path(folder), claim_port("127.0.0.1", 0))
        process = Popen((valkey.binary(), str(file)), stdout=DEVNULL)
        try:
            valkey.wait_until_up(url, lambda: process.poll() is None)
            yield url
        finally:
            process.terminate()
            process.wait()


def ready_version(url: str, identity: str, slots: int) -> Version:
    """Bring up the record of a ready instance with so many slots."""
    spec = FunctionSpec(name=identity, model="m", memory=1, concurrency=slots)
    version = Version(id=identity, function=identity, number=1, checkpoint="c", created_at=0.0, spec=spec)
    with Redis.from_url(url, decode_responses=True) as redis:
        redis.hset("qt:node:n", mapping={"state": "ready", "memory_bytes": 10**6})
        redis.sadd("qt:nodes", "n")
        instances = SlotStore(redis)
        if not (instances.reserve(version, "n", f"x-{identity}", 1) and instances.ready(f"x-{identity}")):
            raise click.ClickException("the instance's record was not taken")
    return version


def lease_and_finish(url: str, version: Version, seconds: float, client: int) -> int:
    """Admit and finish one call after another; returns how many. One client process."""
    with Redis.from_url(url, decode_responses=True) as redis:
        store, count = InvocationStore(redis, Settings(redis_url=url)), 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            new = NewInvocation(f"{version.id}-{client}-{count}", version, {"input": {}, "sampling": {}, "seed": 1})
            assigned = store.admit(new).assignment
            if assigned is None:
                raise click.ClickException("a warm call was not assigned at once")
            store.finish(new.id, assigned.epoch, InvocationState.SUCCEEDED)
            count += 1
        return count


def server_microseconds(url: str) -> float:
    """Return what the two scripts of a call have taken of Valkey's one thread, in the mean."""
    with Redis.from_url(url, decode_responses=True) as redis:
        return 2 * float(redis.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])


def race(url: str, version: Version, client: int) -> list[int]:
    """Admit one call in each round, at the same time as the other clients; returns the rounds that it won."""
    won = []
    with Redis.from_url(url, decode_responses=True) as redis:
        store = InvocationStore(redis, Settings(redis_url=url))
        for number in range(RACES):
            redis.incr(f"bench:round:{number}")
            while int(str(redis.get(f"bench:round:{number}"))) < RACE_CLIENTS:
                pass
            new = NewInvocation(f"r{client}-{number}", version, {"input": {}, "sampling": {}, "seed": 1})
            assigned = store.admit(new).assignment
            redis.incr(f"bench:asked:{number}")
            while int(str(redis.get(f"bench:asked:{number}"))) < RACE_CLIENTS:
                pass
            if assigned is not None:
                won.append(number)
            store.cancel(new.id, "the round is over")
            redis.incr(f"bench:over:{number}")
            while int(str(redis.get(f"bench:over:{number}"))) < RACE_CLIENTS:
                pass
    return won


def lease_rows(seconds: float) -> list[dict[str, Cell]]:
    """Measure the warm path, and let clients race for the last slots."""
    rows: list[dict[str, Cell]] = []
    with running_valkey() as url, ProcessPoolExecutor(max(*CLIENTS, RACE_CLIENTS)) as pool:
        for clients in CLIENTS:
            version = ready_version(url, f"f{clients}", SLOTS)
            with Redis.from_url(url) as redis:
                redis.config_resetstat()
            jobs = [pool.submit(lease_and_finish, url, version, seconds, client) for client in range(clients)]
            leases = sum(job.result() for job in jobs) / seconds
            rows.append({"what": "leases, each also finished", "size": f"{clients} clients", "per second": leases,
                         "server us": server_microseconds(url)})  # fmt: skip
        version = ready_version(url, "last", LAST_SLOTS)
        races = [pool.submit(race, url, version, client) for client in range(RACE_CLIENTS)]
        won = [number for found in races for number in found.result()]
        worst = max(won.count(number) for number in range(RACES))
        rows.append({"what": f"most of {RACE_CLIENTS} who got one of {LAST_SLOTS} slots", "size": f"{RACES} races",
                     "per second": worst})  # fmt: skip
    return rows


def report(decisions: Sequence[dict[str, Cell]], leases: Sequence[dict[str, Cell]]) -> Report:
    """Evaluate the rows."""
    ours = next(row for row in decisions if row["what"] == "decisions, startup-time" and row["size"] == "1000 nodes")
    *warm, races = leases
    goals = (
        Goal("decisions/s of startup-time on 1000 nodes", float(ours["per second"] or 0), 5000, ">="),
        Goal("leases/s", max(float(row["per second"] or 0) for row in warm), 10_000, ">="),
        Goal("slots given in a race for the last ones", float(races["per second"] or 0), LAST_SLOTS, "<="),
    )
    heads = ("what", "size", "per second", "p50 ms", "p99 ms", "server us")
    rows = tuple({head: row.get(head) for head in heads} for row in (*decisions, *leases))
    return Report("router", rows, goals, {"functions": FUNCTIONS})


@click.command()
@click.option("--decisions", default=5000, show_default=True, help="Decisions for each policy and size.")
@click.option(
    "--seconds", default=5.0, show_default=True, help="How long leases are taken with each number of clients."
)
@click.option("--quick", is_flag=True, help="A fiftieth of it: a smoke test.")
def main(decisions: int, seconds: float, quick: bool) -> None:
    """Measure the router; print a table and write benchmarks/results/bench-router.json."""
    if quick:
        decisions, seconds = decisions // 50, seconds / 50
    policies = plugins.names(plugins.ALLOCATION_POLICIES)
    decided = [decide(policy, nodes, decisions) for nodes in NODES for policy in policies]
    publish(report(decided, lease_rows(seconds)), console())


if __name__ == "__main__":
    main()
