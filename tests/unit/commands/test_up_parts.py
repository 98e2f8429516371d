from __future__ import annotations

import errno
import os
import socket
import stat
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.exceptions import ClientError
from redis import Redis

from quickthaw.resources import Scope
from quickthaw_platform.commands import ports, seaweed, valkey
from quickthaw_platform.commands.client_file import admin_key, write_client_file
from quickthaw_platform.commands.host import Host, exclusive
from quickthaw_platform.commands.log_follower import LogFollower, last_lines
from quickthaw_platform.commands.ports import LISTENABLE, claim_port, connect_host
from quickthaw_platform.commands.readiness import Readiness
from quickthaw_platform.commands.supervisor import Supervisor
from quickthaw_platform.commands.workers import Worker
from quickthaw_platform.errors import Conflict, SettingsInvalid, Unavailable
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.celery_app import make_app


def test_a_taken_port_is_refused_with_advice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(SettingsInvalid, match=rf"port {port}: Address already in use\. .*--port"):
            claim_port("127.0.0.1", port)


def test_port_0_gives_a_free_one() -> None:
    port = claim_port("127.0.0.1", 0)
    assert claim_port("127.0.0.1", port) == port
    assert port in LISTENABLE


def test_an_address_that_is_not_this_machines_is_refused_at_the_first_try(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([24_000, 24_001])
    monkeypatch.setattr("random.sample", lambda _range, _count: drawn)
    with pytest.raises(SettingsInvalid, match=r"203\.0\.113\.1, port 0: Cannot assign .* with --host; 0\.0\.0\.0"):
        claim_port("203.0.113.1", 0)
    assert next(drawn) == 24_001


def test_a_free_port_is_looked_for_among_those_that_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        taken = [first.getsockname()[1], second.getsockname()[1]]
        free = claim_port("127.0.0.1", 0)
        monkeypatch.setattr("random.sample", lambda _range, _count: [*taken, free])
        assert claim_port("127.0.0.1", 0) == free
        monkeypatch.setattr("random.sample", lambda _range, _count: taken)
        with pytest.raises(SettingsInvalid, match="Address already in use"):
            claim_port("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("bound", "reached"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("fd00::1", "[fd00::1]"),
        ("gpu-1.lan", "gpu-1.lan"),
    ],
)
def test_the_address_to_connect_to(bound: str, reached: str) -> None:
    assert connect_host(bound) == reached


def test_a_second_up_on_one_data_directory_names_the_first(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(Conflict, match=rf"already runs on .* \(process {os.getpid()}\)"):
        exclusive(tmp_path).__enter__()
    with exclusive(tmp_path):  # free again afterwards
        pass


def test_a_data_directory_that_is_a_file_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsInvalid, match=r"data directory .*file cannot be used: .*set QUICKTHAW_DATA_DIR"):
        exclusive(tmp_path / "file").__enter__()


def test_a_disk_that_runs_full_at_the_start_is_named_by_the_data_directory(tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsInvalid, match=rf"data directory {tmp_path} cannot be used: No space left"),
        exclusive(tmp_path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), FileNotFoundError(2, "no", "/bin/none")]
)
def test_what_has_nothing_to_do_with_the_data_directory_is_not_blamed_on_it(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(type(error)), exclusive(tmp_path):
        raise error


def test_the_client_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text("old")
    file.chmod(0o644)
    write_client_file(file, "http://127.0.0.1:1", 'qt-"quoted"')
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tomllib.loads(file.read_text()) == {"url": "http://127.0.0.1:1", "api_key": 'qt-"quoted"'}


def test_the_first_admin_key_is_kept_from_start_to_start(redis: Redis, tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    first = admin_key(redis, file)
    write_client_file(file, "http://127.0.0.1:1", first)
    assert admin_key(redis, file) == first
    assert len(KeyStore(redis).list()) == 1


@pytest.mark.parametrize("content", [None, "not toml [", 'api_key = "qt-unknown"', "api_key = 7"])
def test_where_the_key_of_an_earlier_start_is_lost_another_is_made(
    redis: Redis, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "client.toml"
    lost = admin_key(redis, file)
    if content is not None:
        file.write_text(content)
    made = admin_key(redis, file)
    assert made != lost
    assert KeyStore(redis).verify(made).allows(Scope.ADMIN)


def test_a_key_that_is_not_an_admins_is_not_taken_for_one(redis: Redis, tmp_path: Path) -> None:
    admin_key(redis, tmp_path / "client.toml")
    lesser = KeyStore(redis).create("lesser", (Scope.INVOKE,)).key
    write_client_file(tmp_path / "client.toml", "http://127.0.0.1:1", lesser)
    assert admin_key(redis, tmp_path / "client.toml") != lesser


def test_the_embedded_valkey_asks_for_its_password_and_keeps_what_it_was_told(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "logs")
    directory = tmp_path / 'val "k\\ey'  # a path with what its configuration would read as something else
    for start in range(2):
        file, url = valkey.configure(directory, claim_port("127.0.0.1", 0))
        child = supervisor.start("valkey", (valkey.binary(), str(file)), os.environ)
        valkey.wait_until_up(url, lambda child=child: child.alive)  # type: ignore[misc]  # mypy cannot infer the default
        with Redis.from_url(url, decode_responses=True) as client:
            assert client.get("kept") == (None if start == 0 else "yes")
            assert valkey.kept_url(directory) == url
            client.set("kept", "yes")
        supervisor.stop(["valkey"], 10.0)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "owner.password").stat().st_mode) == 0o600
    assert stat.S_IMODE((directory / "valkey.conf").stat().st_mode) == 0o600


@pytest.mark.parametrize(("length", "scheme"), [(0, "unix"), (200, "redis")])
def test_the_embedded_valkey_is_reached_at_a_socket_where_its_path_is_short_enough(
    tmp_path: Path, length: int, scheme: str
) -> None:
    """By redis' client and by Celery's, which has words of its own for a socket."""
    supervisor = Supervisor(tmp_path / "logs")
    file, url = valkey.configure(tmp_path / ("val key" + "y" * length), claim_port("127.0.0.1", 0))
    child = supervisor.start("valkey", (valkey.binary(), str(file)), os.environ)
    valkey.wait_until_up(url, lambda: child.alive)
    assert url.startswith(f"{scheme}://")
    with make_app(Settings(redis_url=url)).connection_for_write() as connection:
        channel: Any = connection.default_channel
        channel.client.set("written", "by Celery's client")
    with Redis.from_url(url, decode_responses=True) as client:
        assert client.get("written") == "by Celery's client"
    supervisor.stop(["valkey"], 10.0)


def test_a_password_that_a_full_disk_left_empty_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "owner.password").touch()
    _, url = valkey.configure(tmp_path, 1)
    password = (tmp_path / "owner.password").read_text()
    assert len(password) > 20
    assert f":{password}@" in url
    assert stat.S_IMODE((tmp_path / "owner.password").stat().st_mode) == 0o600


def test_keys_of_the_s3_server_that_a_full_disk_left_empty_are_made_anew(tmp_path: Path) -> None:
    (tmp_path / "identities.json").touch()
    first = seaweed.configure(tmp_path).environment["AWS_SECRET_ACCESS_KEY"]
    assert first
    assert seaweed.configure(tmp_path).environment["AWS_SECRET_ACCESS_KEY"] == first


def test_a_valkey_that_refuses_us_is_not_waited_for(redis: Redis) -> None:
    known = redis.connection_pool.connection_kwargs
    place = f"{known['host']}:{known['port']}" if "port" in known else quote(known["path"])
    stranger = f"redis://stranger:x@{place}" if "port" in known else f"unix://stranger:x@{place}"
    with pytest.raises(Unavailable, match=r"did not start: .*username"):
        valkey.wait_until_up(stranger, lambda: True)


def test_a_valkey_that_ends_is_reported_and_not_waited_for() -> None:
    with pytest.raises(Unavailable, match="did not start"):
        valkey.wait_until_up(f"redis://127.0.0.1:{claim_port('127.0.0.1', 0)}/0", lambda: False)


def test_ports_that_are_claimed_together_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([5, 5, 6, 5, 7])
    monkeypatch.setattr(ports, "claim_port", lambda _host, _port: next(drawn))
    assert ports.claim_ports("127.0.0.1", 3) == [5, 6, 7]


def test_the_embedded_s3_server_keeps_its_key_and_objects_and_shows_them_to_nobody_else(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "logs")
    directory = tmp_path / "sea weed"  # a path with a space
    keys = set()
    for start in range(2):
        server = seaweed.configure(directory)
        child = supervisor.start("seaweedfs", server.command, {**os.environ, **server.own_environment})
        seaweed.wait_until_up(server, lambda child=child: child.alive)  # type: ignore[misc]  # as above
        keys.add((server.environment["AWS_ACCESS_KEY_ID"], server.environment["AWS_SECRET_ACCESS_KEY"]))
        with closing(s3_client(server)) as client:
            there = client.list_objects_v2(Bucket=seaweed.BUCKET, Prefix="kept")
            assert there["KeyCount"] == start
            client.put_object(Bucket=seaweed.BUCKET, Key="kept", Body=b"yes")
        with (
            closing(s3_client(server, "another")) as stranger,
            pytest.raises(ClientError, match="SignatureDoesNotMatch"),
        ):
            stranger.list_objects_v2(Bucket=seaweed.BUCKET)
        supervisor.stop(["seaweedfs"], 1.0)
        server.clean()
    assert len(keys) == 1
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "identities.json").stat().st_mode) == 0o600


def s3_client(server: seaweed.Seaweed, secret: str | None = None) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or server.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=seaweed.REGION,
    )


def test_an_s3_server_listens_on_loopback_only(tmp_path: Path) -> None:
    command = seaweed.configure(tmp_path).command
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1"} <= set(command)


def test_an_s3_server_that_ends_is_reported_and_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="did not start"):
        seaweed.wait_until_up(seaweed.configure(tmp_path), lambda: False)


def test_a_remote_tier_that_is_set_leaves_no_place_for_an_s3_server(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, port=0, remote="s3://mine")
    with pytest.raises(Conflict, match="s3://mine; leave out --with-s3"):
        Host(settings, workers=[Worker("n1")], interrupted=lambda: False, with_s3=True)


def test_who_is_led_to_the_s3_server_gets_no_foreign_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(Settings(data_dir=tmp_path, port=0), workers=[Worker("n1")], interrupted=lambda: False, with_s3=True)
    monkeypatch.setattr(seaweed, "wait_until_up", lambda _server, _alive: None)
    monkeypatch.setattr(host.supervisor, "start", lambda _name, _command, _environment: None)
    environment = {"AWS_ACCESS_KEY_ID": "foreign", "AWS_SESSION_TOKEN": "foreign", "AWS_ENDPOINT_URL_S3": "foreign"}
    readiness = Readiness(host.supervisor, lambda: False, lambda _text: None, lambda _text: None)
    environment |= host._start_seaweed(environment, readiness)
    assert environment["QUICKTHAW_REMOTE"] == "s3://quickthaw/checkpoints"
    assert "foreign" not in environment.values()


def test_a_process_that_ends_while_starting_is_reported_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, port=0)
    monkeypatch.setenv("QUICKTHAW_LOG_LEVEL", "no such level")  # what every process of the platform refuses
    host = Host(settings, workers=[Worker("n1")], interrupted=lambda: False)
    with pytest.raises(Unavailable, match=r"ended with status \d+ while starting:\n[\s\S]*log_level"):
        host.start(lambda _text: None)
    assert host.supervisor.children == {}


def test_a_redis_that_does_not_answer_is_reported_before_anything_starts(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{claim_port('127.0.0.1', 0)}/0"
    host = Host(Settings(data_dir=tmp_path, port=0, redis_url=url), workers=[Worker("n1")], interrupted=lambda: False)
    with pytest.raises(Unavailable, match="Redis cannot be reached"):
        host.start(lambda _text: None)
    assert not (tmp_path / "logs").exists()


def test_where_a_role_has_no_way_to_redis_it_is_named(tmp_path: Path) -> None:
    nowhere = f"redis://127.0.0.1:{claim_port('127.0.0.1', 0)}/0"
    settings = Settings(data_dir=tmp_path, port=0, gateway_redis_url=nowhere, worker_redis_url=nowhere)
    host = Host(settings, workers=[Worker("n1")], interrupted=lambda: False)
    with pytest.raises(SettingsInvalid, match="controller_redis_url and beat_redis_url must be set"):
        host.start(lambda _text: None)


def test_an_interrupt_while_starting_leaves_nothing(tmp_path: Path) -> None:
    host = Host(Settings(data_dir=tmp_path, port=0), workers=[Worker("n1")], interrupted=lambda: True)
    with pytest.raises((KeyboardInterrupt, Unavailable)):
        host.start(lambda _text: None)
    assert host.supervisor.children == {}


def test_following_shows_new_whole_lines_only(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text("before\n")
    seen: list[tuple[str, str]] = []
    follower = LogFollower(tmp_path, lambda name, line: seen.append((name, line)))
    with log.open("a") as file:
        file.write("whole\nhalf")
    follower.poll()
    with log.open("a") as file:
        file.write(" and half\n")
    (tmp_path / "worker-1.log").write_text("new file\n")
    follower.poll()
    log.write_text("anew\n")
    follower.poll()
    assert seen == [("gateway", "whole"), ("gateway", "half and half"), ("worker-1", "new file"), ("gateway", "anew")]


def test_the_end_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("1\n2\n3\n")
    assert last_lines(tmp_path / "a.log", 2) == "2\n3"
    assert last_lines(tmp_path / "none.log", 2) == ""
