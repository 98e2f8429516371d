"""What is asked of real servers."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis

from quickthaw.resources import CheckpointInfo
from quickthaw.types import FunctionSpec, Isolation, Network
from quickthaw.version import VERSION
from quickthaw_platform import settings as settings_module
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.commands import valkey
from quickthaw_platform.commands.doctor import doctor
from quickthaw_platform.commands.seaweed import Seaweed
from quickthaw_platform.doctor import gathering
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.settings import Settings
from tests.state import announce_node
from tests.valkey_process import ValkeyProcess


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ask torch nothing, look for a gateway where there is none, and read the settings anew."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gathering, "torch_facts", lambda: None)
    monkeypatch.setenv("QUICKTHAW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("QUICKTHAW_URL", "http://127.0.0.1:9")
    settings_module.load.cache_clear()
    yield
    settings_module.load.cache_clear()


def test_a_redis_is_asked_what_it_does_with_what_it_is_given(own_valkey: ValkeyProcess, tmp_path: Path) -> None:
    settings = Settings(redis_url=own_valkey.url, data_dir=tmp_path)
    with own_valkey.client() as redis:
        redis.sadd("qt:nodes", "n1")
        tiers = json.dumps({"push_failures": {"c1": "s3://b/c1: 501"}})
        isolated = {"isolation": "process", "not_stronger": "no user namespaces"}
        redis.hset("qt:node:n1", mapping={"version": "0.9", "tiers": tiers, **isolated})
        Catalogue(redis).announce([CheckpointInfo(id="c1", name="tiny", task="generate", bytes=1, context_tokens=128)])
        spec = FunctionSpec(name="fetch", model="tiny", engine="echo", network=Network.EGRESS)
        FunctionRegistry(redis).deploy(spec)
        facts = gathering.gather(settings, {})
        assert facts.redis is not None
        assert (facts.redis.problem, facts.redis.persistent, facts.redis.policy) == (None, True, "noeviction")
        assert abs(facts.redis.clock_skew_seconds) < 10
        assert facts.nodes == {"n1": "0.9"}
        assert facts.grants == {"n1": Grant(Isolation.PROCESS, "no user namespaces")}
        assert [(one.function, one.level) for one in facts.demands] == [("fetch", Isolation.STRICT)]
        assert facts.push_failures == {"n1": "s3://b/c1: 501"}
        redis.config_set("min-replicas-to-write", 1)  # it refuses all writes, and answers all else
        found = gathering.gather(settings, {}).redis
        assert found is not None
        assert "refuses to write" in str(found.problem)
        assert found.version
        redis.config_set("min-replicas-to-write", 0)


@pytest.mark.parametrize(("name", "value"), [("tiers", "["), ("tiers", "[1]"), ("isolation", "iron")])
def test_a_node_of_another_release_is_told_of_as_far_as_it_is_understood(
    redis: Redis, platform_settings: Settings, name: str, value: str
) -> None:
    announce_node(redis, "n1", version="9.9")
    redis.hset("qt:node:n1", name, value)
    facts = gathering.gather(platform_settings, {})
    assert facts.nodes == {"n1": "9.9"}
    assert (facts.grants, facts.push_failures) == ({}, {})


def test_a_redis_that_does_not_answer_is_a_fact(tmp_path: Path) -> None:
    found = gathering.gather(Settings(redis_url="redis://:hunter2@127.0.0.1:9/0", data_dir=tmp_path), {}).redis
    assert found is not None
    assert "check QUICKTHAW_REDIS_URL" in str(found.problem)
    assert "hunter2" not in found.url


def test_the_embedded_valkey_of_the_data_directory_is_found(tmp_path: Path) -> None:
    assert valkey.kept_url(tmp_path) is None
    _, url = valkey.configure(tmp_path / "short", 7000)
    assert valkey.kept_url(tmp_path / "short") == url
    deep = tmp_path / ("x" * 100)
    _, url = valkey.configure(deep, 7000)
    assert url.startswith("redis://")
    assert valkey.kept_url(deep) == url


def test_what_the_disk_refused_of_the_embedded_valkey_is_a_fact_and_of_no_other(
    platform_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "sync.problem").write_text("a.aof: Input/output error")
    monkeypatch.setattr(valkey, "kept_url", lambda _folder: platform_settings.redis_url)
    embedded = gathering.gather(Settings(data_dir=tmp_path), {}).redis
    other = gathering.gather(platform_settings.model_copy(update={"data_dir": tmp_path}), {}).redis
    assert embedded is not None
    assert other is not None
    assert (embedded.sync_problem, other.sync_problem) == ("a.aof: Input/output error", None)


def test_an_s3_server_is_asked_for_its_time(s3_environment: Seaweed, tmp_path: Path) -> None:
    assert s3_environment
    found = gathering.gather(Settings(remote="s3://quickthaw/x", data_dir=tmp_path), {}).remote
    assert found is not None
    assert found.problem is None
    assert abs(found.clock_skew_seconds or 0.0) < 10
    missing = gathering.gather(Settings(remote="s3://no-such-bucket/x", data_dir=tmp_path), {}).remote
    assert missing is not None
    assert "check AWS_ENDPOINT_URL_S3" in str(missing.problem)


def test_variables_and_proxies_are_seen_without_passwords(tmp_path: Path) -> None:
    environment = {
        "QUICKTHAW_DISK_DIR": "",
        "QUICKTHAW_PORT": "tcp://10.0.0.1:8080",
        "HTTPS_PROXY": "http://me:hunter2@proxy.lan:3128",
    }
    machine = gathering.gather(Settings(data_dir=tmp_path), environment).machine
    assert machine.blank_variables == ("QUICKTHAW_DISK_DIR",)
    assert machine.service_links == ("QUICKTHAW_PORT",)
    assert machine.proxies == {"HTTPS_PROXY": "http://me:***@proxy.lan:3128"}
    assert not machine.loopback_spared
    assert gathering.gather(Settings(data_dir=tmp_path), {"NO_PROXY": "127.0.0.1"}).machine.loopback_spared


def test_a_port_that_somebody_else_has_is_a_problem_and_the_exit_status_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("QUICKTHAW_PORT", str(server.getsockname()[1]))
        result = CliRunner().invoke(doctor, ["--json"])
    (gateway,) = [finding for finding in json.loads(result.stdout) if finding["subject"] == "gateway"]
    assert gateway["level"] == "problem"
    assert "cannot listen on" in gateway["advice"]
    assert result.exit_code == 1


def test_without_a_problem_the_exit_status_is_0_and_people_get_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKTHAW_PORT", "0")
    result = CliRunner().invoke(doctor, catch_exceptions=False)
    assert result.exit_code == 0, result.stdout
    assert f"{VERSION}, the same in" in result.stdout
    assert "data directory" in result.stdout


def test_settings_that_cannot_be_read_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICKTHAW_PROT", "1")
    result = CliRunner().invoke(doctor, ["--json"])
    (finding,) = json.loads(result.stdout)
    assert "unknown setting QUICKTHAW_PROT" in finding["found"]
    assert result.exit_code == 1


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    disks = gathering.gather(Settings(data_dir=tmp_path), {}).disks
    assert {disk.problem for disk in disks} == {f"nothing can be written to {tmp_path}: No space left on device"}
