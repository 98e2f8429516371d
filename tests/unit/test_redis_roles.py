"""Which Redis a process of a role connects to, and the lines that make its user."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis
from redis.exceptions import NoPermissionError

from quickthaw_platform import settings as settings_module
from quickthaw_platform.commands.acl import acl
from quickthaw_platform.redis_roles import Role, settings_of, user_line
from tests.valkey_process import ValkeyProcess

ROLES = (Role.GATEWAY, Role.WORKER, Role.CONTROLLER, Role.BEAT)


@pytest.fixture(autouse=True)
def fresh_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings that are read anew."""
    monkeypatch.chdir(tmp_path)
    settings_module.load.cache_clear()
    yield
    settings_module.load.cache_clear()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_connects_by_its_own_setting_and_else_by_the_one_for_all(
    role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICKTHAW_REDIS_URL", "redis://all")
    assert settings_of(role).redis_url == "redis://all"
    settings_module.load.cache_clear()
    monkeypatch.setenv(f"QUICKTHAW_{role.upper()}_REDIS_URL", "redis://own")
    assert {each: settings_of(each).redis_url for each in ROLES} == {
        each: "redis://own" if each is role else "redis://all" for each in ROLES
    }


def test_a_users_line_holds_no_password() -> None:
    line = user_line(Role.WORKER, "hunter2")
    assert line.startswith(f"user quickthaw-worker on #{sha256(b'hunter2').hexdigest()} ")
    assert "hunter2" not in line


def test_a_redis_of_ones_own_takes_the_users_that_are_printed(own_valkey: ValkeyProcess) -> None:
    printed = CliRunner().invoke(acl, ["--redis", f"127.0.0.1:{own_valkey.port}"], catch_exceptions=False)
    variables = dict(line.split("=", 1) for line in printed.stderr.splitlines())
    assert list(variables) == [f"QUICKTHAW_{role.upper()}_REDIS_URL" for role in ROLES]
    with own_valkey.client() as owner:
        for line in printed.stdout.splitlines():
            _user, name, *rules = shlex.split(line)
            owner.execute_command("ACL", "SETUSER", name, "reset", *rules)
    for role, url in zip(ROLES, variables.values(), strict=True):
        with Redis.from_url(url, decode_responses=True) as client:
            assert client.ping()
            with pytest.raises(NoPermissionError, match=role.user):
                client.config_get("dir")


def test_the_users_are_printed_for_programs_too() -> None:
    rows = json.loads(CliRunner().invoke(acl, ["--json"], catch_exceptions=False).stdout)
    assert [row["user"] for row in rows] == [role.user for role in ROLES]
    assert all(row["line"].startswith(f"user {row['user']} on #") for row in rows)
