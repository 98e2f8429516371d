"""What the facts of a machine mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quickthaw.types import FunctionSpec, Isolation, Network, Version
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.commands.devices import TorchFacts
from quickthaw_platform.control_groups.delegation import WANTED, Delegation
from quickthaw_platform.doctor.checks import Finding, Level, findings, worst
from quickthaw_platform.doctor.demands import demands_of, shortfalls
from quickthaw_platform.doctor.facts import (
    Demand,
    DiskFacts,
    Facts,
    GatewayFacts,
    MachineFacts,
    RedisFacts,
    RemoteFacts,
)

MACHINE = MachineFacts(
    grant=Grant(Isolation.STRICT), delegation=Delegation(Path("/sys/fs/cgroup/unit"), WANTED),
    python=(3, 11, 7), root=False, memory=32 << 30, memory_available=16 << 30, shm_free=8 << 30,
    shmem_huge_pages="advise", overcommit=1, open_files=65_536, processes=None,
)  # fmt: skip
REDIS = RedisFacts("redis://127.0.0.1/0", version="8.1.0", persistent=True, memory=1 << 20)
WELL = Facts(
    version="1.0", device="cpu", machine=MACHINE, disks=(DiskFacts("data directory", "/d", 100 << 30),),
    gateway=GatewayFacts("http://127.0.0.1:8080", version="1.0"), redis=REDIS,
    remote=RemoteFacts("s3://b/p", clock_skew_seconds=0.2), torch=TorchFacts("2.6.0+cpu", None, 0), nodes={"n": "1.0"},
)  # fmt: skip


PROCESS = Grant(Isolation.PROCESS, "no user namespaces")
DEMANDS = (
    Demand("quiet", Isolation.PROCESS, 'network="none"'),
    Demand("fetch", Isolation.STRICT, 'network="egress"'),
)


def machine(**changes: object) -> Facts:
    return replace(WELL, machine=replace(MACHINE, **changes))  # type: ignore[arg-type]


def redis(**changes: object) -> Facts:
    return replace(WELL, redis=replace(REDIS, **changes))  # type: ignore[arg-type]


def disk(**changes: object) -> Facts:
    return replace(WELL, disks=(replace(WELL.disks[0], **changes),))  # type: ignore[arg-type]


def test_a_machine_that_is_well_has_only_good_findings() -> None:
    found = findings(WELL)
    assert {finding.level for finding in found} == {Level.OK}
    assert worst(found) is Level.OK
    assert [finding for finding in found if finding.advice] == []


def test_functions_of_root_are_root_only_where_they_are_not_isolated() -> None:
    users = [found for found in findings(machine(root=True, grant=PROCESS)) if found.subject == "user"]
    assert [(found.level, found.found) for found in users] == [(Level.NOTE, "root")]
    assert worst(findings(machine(root=True))) is Level.OK


@pytest.mark.parametrize(
    ("facts", "subject", "level", "advice"),
    [
        (machine(python=(3, 10, 2)), "Python", Level.PROBLEM, "Python 3.11"),
        (machine(grant=PROCESS), "isolation", Level.NOTE, "not stronger: no user namespaces"),
        (machine(grant=Grant(Isolation.NONE)), "isolation", Level.NOTE, "docs/security.md"),
        (machine(grant=PROCESS, isolation=Isolation.STRICT), "isolation", Level.PROBLEM, "no user namespaces"),
        (replace(WELL, grants={"a": PROCESS}, demands=DEMANDS[1:]),
         "isolation demanded", Level.WARNING, "no node can run all of them, and calls wait: no user namespaces"),
        (replace(WELL, grants={"a": Grant(Isolation.PROCESS), "b": Grant(Isolation.STRICT)}, demands=DEMANDS),
         "isolation demanded", Level.WARNING, "they run on b only: QUICKTHAW_ISOLATION=process is set for it"),
        (machine(delegation=Delegation(why="no cgroup v2")), "control groups", Level.NOTE, "no cgroup v2"),
        (machine(memory_available=1 << 30), "memory", Level.WARNING, "dram_budget"),
        (machine(shm_free=64 << 20), "/dev/shm", Level.WARNING, "--shm-size"),
        (machine(shm_free=None), "/dev/shm", Level.PROBLEM, "mount"),
        (machine(shmem_huge_pages="never"), "huge pages", Level.NOTE, "echo advise"),
        (machine(shmem_huge_pages=None), "huge pages", Level.NOTE, "echo advise"),
        (machine(overcommit=0), "overcommit", Level.NOTE, "vm.overcommit_memory=1"),
        (machine(overcommit=2), "overcommit", Level.WARNING, "vm.overcommit_memory=1"),
        (machine(open_files=256), "open files", Level.WARNING, "ulimit -n"),
        (machine(processes=100), "processes", Level.WARNING, "ulimit -u"),
        (machine(blank_variables=("QUICKTHAW_PORT",)), "variables", Level.NOTE, "count as not set"),
        (machine(service_links=("QUICKTHAW_PORT",)), "variables", Level.NOTE, "enableServiceLinks"),
        (machine(proxies={"HTTP_PROXY": "http://p"}, loopback_spared=False), "proxies", Level.NOTE, "NO_PROXY"),
        (disk(free=1 << 30), "data directory", Level.WARNING, "models rm"),
        (disk(problem="nothing can be written"), "data directory", Level.PROBLEM, "nothing can be written"),
        (replace(WELL, device="cuda:0"), "device", Level.PROBLEM, "CUDA build of torch"),
        (replace(WELL, torch=TorchFacts("2.6.0", "12.6", 1)), "device", Level.NOTE, "QUICKTHAW_DEVICE=cuda:0"),
        (replace(WELL, redis=None), "Redis", Level.NOTE, "QUICKTHAW_REDIS_URL"),
        (redis(problem="it refuses to write: OOM"), "Redis", Level.PROBLEM, "refuses to write"),
        (redis(version="6.0.16"), "Redis' version", Level.PROBLEM, "6.2"),
        (redis(persistent=False), "Redis' persistence", Level.WARNING, "appendonly yes"),
        (redis(persistence_ok=False), "Redis' persistence", Level.PROBLEM, "space on its disk"),
        (redis(sync_problem="a.aof: Input/output error"), "Redis' persistence", Level.PROBLEM, "Input/output error"),
        (redis(policy="allkeys-lru"), "Redis' memory", Level.PROBLEM, "noeviction"),
        (redis(memory=85, max_memory=100), "Redis' memory", Level.WARNING, "maxmemory"),
        (redis(clock_skew_seconds=-90.0), "clock of Redis", Level.WARNING, "NTP"),
        (replace(WELL, remote=RemoteFacts("s3://b", "AccessDenied")), "remote tier", Level.PROBLEM, "AccessDenied"),
        (
            replace(WELL, remote=RemoteFacts("s3://b", clock_skew_seconds=600.0)),
            "clock of the remote tier", Level.WARNING, "NTP",
        ),
        (
            replace(WELL, gateway=GatewayFacts("http://h", problem="refused")), "gateway", Level.NOTE, "quickthaw up",
        ),
        (
            replace(WELL, gateway=GatewayFacts("http://h", "cannot listen; --port 0", "refused")),
            "gateway", Level.PROBLEM, "--port 0",
        ),
        (replace(WELL, push_failures={"n": "s3://b/k: 501"}), "remote tier", Level.WARNING, "s3://b/k: 501"),
        (replace(WELL, nodes={"n": "0.9"}), "versions", Level.WARNING, "start all of them"),
        (replace(WELL, nodes={"n": ""}), "versions", Level.WARNING, "this is 1.0"),
    ],
)  # fmt: skip
def test_each_finding_says_how_bad_it_is_and_what_to_do(facts: Facts, subject: str, level: Level, advice: str) -> None:
    found = [finding for finding in findings(facts) if finding.level is not Level.OK]
    assert [(finding.subject, finding.level) for finding in found] == [(subject, level)]
    assert advice in found[0].advice
    assert worst(findings(facts)) is level


@pytest.mark.parametrize(("network", "level"), [(Network.EGRESS, Level.PROBLEM), (Network.NONE, Level.OK)], ids=str)
def test_a_network_that_is_set_and_cannot_be_kept_is_a_problem(network: Network, level: Level) -> None:
    (found,) = [found for found in findings(machine(grant=PROCESS, network=network)) if found.subject == "network"]
    assert (found.level, found.found) == (level, f"{network.value}, for functions that name none")
    assert level is Level.OK or "needs the isolation strict: set QUICKTHAW_NETWORK=host" in found.advice


def version(name: str, **fields: object) -> Version:
    spec = FunctionSpec.model_validate({"name": name, "model": "m", **fields})
    return Version(id=name, function=name, number=1, checkpoint="c", spec=spec, created_at=1.0)


def test_functions_demand_what_keeps_their_network_or_what_they_name_and_each_is_told_once() -> None:
    asked = [
        version("plain"), version("fetch", network="egress"), version("fetch", network="egress", egress=["a.example"]),
        version("quiet", network="none"), version("vault", isolation="strict", network="none"),
    ]  # fmt: skip
    assert [(one.function, one.level, one.reason) for one in demands_of(asked)] == [
        ("fetch", Isolation.STRICT, 'network="egress"'),
        ("quiet", Isolation.PROCESS, 'network="none"'),
        ("vault", Isolation.STRICT, 'isolation="strict"'),
    ]


def test_a_node_that_gives_too_little_is_named_with_the_functions_that_do_not_run_there() -> None:
    many = tuple(Demand(f"f{number}", Isolation.STRICT, 'network="egress"') for number in range(7))
    (found,) = [text for text, _ in shortfalls(replace(machine(grant=PROCESS), demands=many))]
    assert found.startswith('this machine gives process, too little for f0 (network="egress"), f1 ')
    assert found.endswith(" and 2 more")
    assert list(shortfalls(replace(machine(grant=PROCESS), grants={"a": Grant(Isolation.STRICT)}, demands=many))) == []


def test_a_gateway_of_which_nothing_is_known_is_not_asked_for_its_version() -> None:
    found = findings(replace(WELL, gateway=GatewayFacts("http://h", problem="refused"), redis=None, nodes={}))
    assert found[-1] == Finding("versions", Level.OK, "1.0, the same in 1 processes or nodes")
