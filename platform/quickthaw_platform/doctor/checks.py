"""What facts of a machine and a platform mean, and what to do. Pure: no I/O, no clock."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from quickthaw.cli.output import size
from quickthaw.types import Isolation
from quickthaw_platform.cage.levels import KEEPS, at_least
from quickthaw_platform.commands.devices import device_problem
from quickthaw_platform.doctor.demands import shortfalls
from quickthaw_platform.doctor.facts import DiskFacts, Facts, GatewayFacts, MachineFacts, RedisFacts, RemoteFacts

LEAST_PYTHON = (3, 11)
LEAST_MEMORY = 2 << 30
LEAST_FREE_DISK = 2 << 30
LEAST_SHM = 256 << 20
LEAST_OPEN_FILES = 4096
LEAST_PROCESSES = 1024
LEAST_REDIS = (6, 2)
FULL_SHARE = 0.8
SKEW_SECONDS = 60.0
S3_SKEW_SECONDS = 240.0
"""S3 refuses requests whose time is 15 minutes off; a clock that is this far off will get there."""


class Level(enum.StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"  # works, though not as well as it could, or not as one may think
    WARNING = "warning"  # works now and will not always
    PROBLEM = "problem"  # does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found, and what to do where something is to be done."""

    subject: str
    level: Level
    found: str
    advice: str = ""


def findings(facts: Facts) -> list[Finding]:
    """Return everything that was looked at, in the order of a first start."""
    found = [check(facts.machine) for check in _OF_THE_MACHINE]
    found += _variables(facts.machine)
    found += [_disk(disk) for disk in facts.disks]
    found += [Finding("isolation demanded", Level.WARNING, text, advice) for text, advice in shortfalls(facts)]
    found.append(_device(facts))
    found.append(_redis(facts.redis))
    if facts.redis is not None and facts.redis.version:
        found += [_redis_version(facts.redis), _persistence(facts.redis), _redis_memory(facts.redis)]
        found.append(_clock("clock of Redis", facts.redis.clock_skew_seconds, SKEW_SECONDS))
    if facts.remote is not None:
        found += _remote(facts.remote)
    found += [
        Finding("remote tier", Level.WARNING, f"did not take all that {node} has", f"only its disk has that: {why}")
        for node, why in sorted(facts.push_failures.items())
    ]
    return [*found, _gateway(facts.gateway), _versions(facts)]


def worst(found: list[Finding]) -> Level:
    """Return the level of the worst of them."""
    order = list(Level)
    return max((finding.level for finding in found), key=order.index, default=Level.OK)


def _python(machine: MachineFacts) -> Finding:
    text = ".".join(map(str, machine.python))
    if machine.python[:2] < LEAST_PYTHON:
        return Finding("Python", Level.PROBLEM, text, "install Python 3.11 or later, and quickthaw in it")
    return Finding("Python", Level.OK, text)


def _user(machine: MachineFacts) -> Finding:
    if machine.root and machine.grant.level is not Isolation.STRICT:
        return Finding(
            "user", Level.NOTE, "root", "functions run as root too; docs/security.md says what they can reach"
        )
    if machine.root:
        return Finding("user", Level.OK, "root; functions run as users of their own")
    return Finding("user", Level.OK, "not root")


def _isolation(machine: MachineFacts) -> Finding:
    level, why = machine.grant.level, machine.grant.why
    if machine.isolation is not None and level is not machine.isolation:
        return Finding("isolation", Level.PROBLEM, f"{level.value}, and {machine.isolation.value} is set", why)
    if level is Isolation.STRICT:
        return Finding("isolation", Level.OK, level.value)
    if not why:
        return Finding(
            "isolation", Level.NOTE, f"{level.value}, as is set", "docs/security.md says what that leaves open"
        )
    return Finding("isolation", Level.NOTE, level.value, f"not stronger: {why} (docs/security.md)")


def _network(machine: MachineFacts) -> Finding:
    text, needed = f"{machine.network.value}, for functions that name none", KEEPS[machine.network]
    if not at_least(machine.grant.level, needed):
        advice = f"they do not start here, for that needs the isolation {needed.value}: set QUICKTHAW_NETWORK=host"
        return Finding("network", Level.PROBLEM, text, f"{advice}, or see to that ({machine.grant.why or 'it is set'})")
    return Finding("network", Level.OK, text)


def _control_groups(machine: MachineFacts) -> Finding:
    found, why = ", ".join(machine.delegation.controllers) or "nothing", machine.delegation.why
    text = f"a worker started from here bounds {found} of an instance as a whole"
    return Finding("control groups", Level.NOTE if why else Level.OK, text, why)


def _memory(machine: MachineFacts) -> Finding:
    text = f"{size(machine.memory_available)} of {size(machine.memory)} free"
    if machine.memory_available < LEAST_MEMORY:
        return Finding(
            "memory", Level.WARNING, text, "a small model needs 2 GiB; end other programs, or lower dram_budget"
        )
    return Finding("memory", Level.OK, text)


def _shared_memory(machine: MachineFacts) -> Finding:
    if machine.shm_free is None:
        return Finding("/dev/shm", Level.PROBLEM, "not there", "mount it: mount -t tmpfs tmpfs /dev/shm")
    text = f"{size(machine.shm_free)} free"
    if machine.shm_free < LEAST_SHM:
        return Finding("/dev/shm", Level.WARNING, text, "containers have 64 MiB; start them with --shm-size=1g")
    return Finding("/dev/shm", Level.OK, text)


def _huge_pages(machine: MachineFacts) -> Finding:
    setting = machine.shmem_huge_pages
    if machine.root or setting in ("always", "within_size", "advise", "force"):
        return Finding("huge pages", Level.OK, f"shmem_enabled is {setting or 'not there'}")
    advice = "starts from a cold disk are slower: echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled"
    return Finding("huge pages", Level.NOTE, f"shmem_enabled is {setting or 'not there'}", advice)


def _overcommit(machine: MachineFacts) -> Finding:
    text = f"vm.overcommit_memory is {'unknown' if machine.overcommit is None else machine.overcommit}"
    if machine.overcommit == 2:
        advice = "instances share memory that is counted for each of them: sysctl vm.overcommit_memory=1"
        return Finding("overcommit", Level.WARNING, text, advice)
    if machine.overcommit == 0:
        advice = "Redis and Valkey may fail to save where memory is short: sysctl vm.overcommit_memory=1"
        return Finding("overcommit", Level.NOTE, text, advice)
    return Finding("overcommit", Level.OK, text)


def _open_files(machine: MachineFacts) -> Finding:
    text = f"at most {machine.open_files:,}"
    if machine.open_files < LEAST_OPEN_FILES:
        advice = f"each stream takes one: ulimit -n {LEAST_OPEN_FILES * 4}, or LimitNOFILE= of systemd"
        return Finding("open files", Level.WARNING, text, advice)
    return Finding("open files", Level.OK, text)


def _processes(machine: MachineFacts) -> Finding:
    if machine.processes is not None and machine.processes < LEAST_PROCESSES:
        return Finding(
            "processes", Level.WARNING, f"at most {machine.processes:,}", "raise it: ulimit -u, or TasksMax= of systemd"
        )
    return Finding("processes", Level.OK, "no limit" if machine.processes is None else f"at most {machine.processes:,}")


_OF_THE_MACHINE: tuple[Callable[[MachineFacts], Finding], ...] = (
    _python, _user, _isolation, _network, _control_groups, _memory, _shared_memory, _huge_pages, _overcommit,
    _open_files, _processes,
)  # fmt: skip


def _variables(machine: MachineFacts) -> Iterator[Finding]:
    if machine.blank_variables:
        yield Finding("variables", Level.NOTE, f"empty: {', '.join(machine.blank_variables)}", "they count as not set")
    if machine.service_links:
        links = ", ".join(machine.service_links)
        advice = "they are ignored; enableServiceLinks: false in the pod's spec leaves them out"
        yield Finding("variables", Level.NOTE, f"Kubernetes' service links: {links}", advice)
    if machine.proxies:
        named = ", ".join(f"{variable}={proxy}" for variable, proxy in machine.proxies.items())
        advice = "" if machine.loopback_spared else (
            "ours never use it for this machine; for other programs set NO_PROXY=localhost,127.0.0.1,::1"
        )  # fmt: skip
        yield Finding("proxies", Level.OK if machine.loopback_spared else Level.NOTE, named, advice)


def _disk(disk: DiskFacts) -> Finding:
    if disk.problem is not None:
        return Finding(disk.name, Level.PROBLEM, disk.path, disk.problem)
    text = disk.path if disk.free is None else f"{disk.path}: {size(disk.free)} free"
    if disk.free is not None and disk.free < LEAST_FREE_DISK:
        return Finding(
            disk.name,
            Level.WARNING,
            text,
            "make room: `quickthaw models rm`, or another disk by QUICKTHAW_DATA_DIR or QUICKTHAW_DISK_DIR",
        )
    return Finding(disk.name, Level.OK, text)


def _device(facts: Facts) -> Finding:
    torch = "no torch" if facts.torch is None else f"torch {facts.torch.version}"
    if facts.device == "cpu":
        idle = facts.torch is not None and facts.torch.devices > 0
        advice = "a CUDA device is there: QUICKTHAW_DEVICE=cuda:0 uses it" if idle else ""
        return Finding("device", Level.NOTE if idle else Level.OK, f"cpu, {torch}", advice)
    problem = device_problem(facts.device, facts.torch)
    return Finding("device", Level.PROBLEM if problem else Level.OK, f"{facts.device}, {torch}", problem or "")


def _redis(redis: RedisFacts | None) -> Finding:
    if redis is None:
        advice = "`quickthaw up` brings its own; for processes of your own set QUICKTHAW_REDIS_URL"
        return Finding("Redis", Level.NOTE, "none is configured, and none of `up` runs", advice)
    if redis.problem is not None:
        return Finding("Redis", Level.PROBLEM, redis.url, redis.problem)
    return Finding("Redis", Level.OK, redis.url)


def _redis_version(redis: RedisFacts) -> Finding:
    numbers = tuple(int(part) for part in redis.version.split(".")[:2] if part.isdigit())
    if numbers < LEAST_REDIS:
        return Finding("Redis' version", Level.PROBLEM, redis.version, "take Redis 6.2 or later, or Valkey")
    return Finding("Redis' version", Level.OK, redis.version)


def _persistence(redis: RedisFacts) -> Finding:
    if not redis.persistence_ok:
        advice = "its last write to the disk failed: look at its log and at the space on its disk"
        return Finding("Redis' persistence", Level.PROBLEM, "failing", advice)
    if redis.sync_problem is not None:
        advice = f"a power cut would lose it: look at the disk and the kernel's log ({redis.sync_problem})"
        return Finding("Redis' persistence", Level.PROBLEM, "its disk does not take what it writes", advice)
    if not redis.persistent:
        advice = "functions and keys are gone with it: set appendonly yes"
        return Finding("Redis' persistence", Level.WARNING, "no append-only file", advice)
    return Finding("Redis' persistence", Level.OK, "append-only file")


def _redis_memory(redis: RedisFacts) -> Finding:
    limit = f"of {size(redis.max_memory)}" if redis.max_memory else "without a limit"
    text = f"{size(redis.memory)} {limit}, {redis.policy}"
    if redis.policy != "noeviction":
        advice = "it may drop running invocations: CONFIG SET maxmemory-policy noeviction"
        return Finding("Redis' memory", Level.PROBLEM, text, advice)
    if redis.max_memory and redis.memory > FULL_SHARE * redis.max_memory:
        return Finding("Redis' memory", Level.WARNING, text, "raise maxmemory, or lower invocation_ttl and max_output")
    return Finding("Redis' memory", Level.OK, text)


def _remote(remote: RemoteFacts) -> Iterator[Finding]:
    if remote.problem is not None:
        yield Finding("remote tier", Level.PROBLEM, remote.url, remote.problem)
        return
    yield Finding("remote tier", Level.OK, remote.url)
    if remote.clock_skew_seconds is not None:
        yield _clock("clock of the remote tier", remote.clock_skew_seconds, S3_SKEW_SECONDS)


def _clock(subject: str, skew: float, most: float) -> Finding:
    text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's" if abs(skew) >= 1 else "the same"
    if abs(skew) > most:
        return Finding(subject, Level.WARNING, text, "let both be set by NTP (timedatectl set-ntp true)")
    return Finding(subject, Level.OK, text)


def _gateway(gateway: GatewayFacts) -> Finding:
    if gateway.problem is None:
        return Finding("gateway", Level.OK, gateway.url)
    if gateway.port_problem is not None:
        return Finding("gateway", Level.PROBLEM, f"none answers at {gateway.url}", gateway.port_problem)
    advice = f"`quickthaw up` starts one ({gateway.problem})"
    return Finding("gateway", Level.NOTE, f"none answers at {gateway.url}", advice)


def _versions(facts: Facts) -> Finding:
    found = {**({"gateway": facts.gateway.version} if facts.gateway.version else {}), **facts.nodes}
    others = {name: version for name, version in found.items() if version != facts.version}
    if others:
        named = ", ".join(f"{name} {version or 'unknown'}" for name, version in sorted(others.items()))
        advice = f"this is {facts.version}; stop, install and start all of them"
        return Finding("versions", Level.WARNING, named, advice)
    return Finding("versions", Level.OK, f"{facts.version}, the same in {len(found) + 1} processes or nodes")
