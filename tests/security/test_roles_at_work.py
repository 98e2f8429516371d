"""`quickthaw up`, as an ordinary user: its processes do their work as the Redis users of their roles, and hide."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
from redis import Redis

from quickthaw import Client, FunctionSpec, Webhook
from quickthaw.types import Handler
from quickthaw_platform.commands import valkey
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.redis_roles import Role
from tests.acceptance.cluster import VENV_BIN, wait_for
from tests.acceptance.echo_models import write_echo_model
from tests.process_facts import command_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "only-the-function-knows"
UNUSED_SECRET = "not-even-a-call-has-seen-it"
ORDINARY = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""What goes before a command that runs as any user runs it: where the tests run as root, as a root without rights."""

PROCESSES = {
    Role.GATEWAY: "gunicorn",
    Role.WORKER: "node.first",
    Role.CONTROLLER: "--queues controller",
    Role.BEAT: "ControllerBeat",
}
"""What stands in the command line of each role's process."""

LOOK_AT = """
import sys
for name in ("environ", "mem", "maps"):
    try:
        open(f"/proc/{sys.argv[1]}/{name}", "rb").read(1)
    except PermissionError:
        continue
    sys.exit(name + " can be read")
"""


class Platform:
    """One `quickthaw up` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.folder = folder
        write_echo_model(self.data_dir / "checkpoints", "tiny")
        settings = {"PRELOAD": "none", "THREADS": "1", "USAGE_PERIOD": "500ms", "WEBHOOK_ALLOW": "127.0.0.1"}
        self.environment = {
            "PATH": f"{VENV_BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "QUICKTHAW_DATA_DIR": str(self.data_dir),
            "QUICKTHAW_NODE": "first",
            **{f"QUICKTHAW_{name}": value for name, value in settings.items()},
        }
        self.started: list[subprocess.Popen[bytes]] = []
        self.up = self.run("up", "--port", "0")

    def run(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command of ours."""
        output = (self.folder / f"{command[0]}.out").open("wb")
        with output:
            arguments = [*ORDINARY, str(VENV_BIN / "quickthaw"), *command]
            started = subprocess.Popen(arguments, env=self.environment, cwd=self.folder, stdout=output, stderr=output)
        self.started.append(started)
        return started

    def wait_until_up(self) -> None:
        """Wait until it says so; then `client` has its admin key."""
        output = self.folder / "up.out"
        wait_for(lambda: "is up" in output.read_text() or self.up.poll() is not None, "the start", 120)
        assert self.up.poll() is None, output.read_text()
        access = tomllib.loads((self.data_dir / "client.toml").read_text())
        self.client = Client(access["url"], access["api_key"])

    def redis(self, role: Role) -> Redis:
        """A client as a role of process."""
        url = valkey.kept_url(self.data_dir / "valkey", role)
        assert url is not None
        return Redis.from_url(url, decode_responses=True)

    def process(self, words: str) -> psutil.Process:
        """Return the process below `up` that has these words in its command line."""
        children = psutil.Process(self.up.pid).children(recursive=True)
        return next(child for child in children if words in command_of(child))

    def logs(self) -> str:
        """All that its processes have logged."""
        return "".join(file.read_text() for file in (self.data_dir / "logs").iterdir())

    def close(self) -> None:
        """End what was started."""
        if hasattr(self, "client"):
            self.client.close()
        for process in reversed(self.started):
            process.send_signal(signal.SIGTERM)
            process.wait(60)


class Keeping(BaseHTTPRequestHandler):
    """Keeps the bodies that it is sent."""

    received: list[bytes]

    def do_POST(self) -> None:
        """Take a delivery."""
        self.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextmanager
def receiving(received: list[bytes]) -> Iterator[str]:
    """Receive webhooks at the URL that is given."""
    with HTTPServer(("127.0.0.1", 0), type("Receiver", (Keeping,), {"received": received})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A platform that is up, in a folder whose name is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="quickthaw-"))
    made = Platform(folder)
    try:
        made.wait_until_up()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def coded(name: str, source: str) -> FunctionSpec:
    return FunctionSpec(
        name=name,
        model="tiny",
        engine="echo",
        memory=64 << 20,
        handler=Handler(file="function.py", object="handler"),
        source={"function.py": source},
    )


def test_every_kind_of_work_goes_on(platform: Platform) -> None:
    client = platform.client
    client.deploy(coded("told", "import os\ndef handler(model):\n    print('said')\n    return os.environ['TOKEN']"))
    client.set_secret("told", "TOKEN", SECRET)
    assert client.invoke("told", {}).result == SECRET
    client.deploy(FunctionSpec(name="echo", model="tiny", engine="echo", options={"token_delay": "20ms"}))
    assert "".join(str(chunk) for chunk in client.stream("echo", {"prompt": "one two three"})) == "one two three"
    received: list[bytes] = []
    with receiving(received) as url:
        spawned = client.spawn("echo", {"prompt": "later"}, webhook=Webhook(url=url))
        assert spawned.result(timeout=30) == "later"
        wait_for(lambda: received, "the webhook")
    long = client.spawn("echo", {"prompt": "word " * 1000})
    wait_for(lambda: long.status().first_output_at, "the first output")
    long.cancel()
    wait_for(lambda: long.status().state == "cancelled", "the cancellation")
    wait_for(lambda: [line for line in client.logs("told") if line.line == "said"], "the log")
    wait_for(lambda: [row for row in client.usage() if row.requests], "the usage")
    client.delete_function("told")
    assert "NOPERM" not in platform.logs()


def test_the_store_listens_at_no_port_and_its_folder_is_its_users(platform: Platform) -> None:
    server = platform.process("valkey-server")
    assert not [found for found in server.net_connections("inet") if found.status == psutil.CONN_LISTEN]
    folder = platform.data_dir / "valkey"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not [file for file in folder.iterdir() if file.is_file() and file.stat().st_mode & 0o077]


def test_a_process_has_the_password_of_its_own_role_only(platform: Platform) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can look into them")
    for role, words in PROCESSES.items():
        environment = platform.process(words).environ()
        urls = {name: value for name, value in environment.items() if value.startswith("unix://")}
        assert urls == {"QUICKTHAW_REDIS_URL": valkey.kept_url(platform.data_dir / "valkey", role)}


@pytest.mark.parametrize("role", [Role.OWNER, *PROCESSES])
def test_another_process_of_the_user_cannot_look_into_it(platform: Platform, role: Role) -> None:
    found = psutil.Process(platform.up.pid) if role is Role.OWNER else platform.process(PROCESSES[role])
    look = [*ORDINARY, sys.executable, "-c", LOOK_AT, str(found.pid)]
    looked = subprocess.run(look, capture_output=True, text=True, check=False)
    assert looked.returncode == 0, looked.stderr


def test_a_secret_is_plain_nowhere_in_the_store_and_outlives_a_new_key(platform: Platform) -> None:
    client = platform.client
    client.deploy(coded("keeps", "import os\ndef handler(model):\n    return len(os.environ['TOKEN'])"))
    client.set_secret("keeps", "TOKEN", UNUSED_SECRET)
    with platform.redis(Role.WORKER) as redis:
        stored = redis.hget(RedisKey.FUNCTION_SECRETS.of("keeps"), "TOKEN")
    assert stored is not None
    assert UNUSED_SECRET not in stored
    written = b"".join(file.read_bytes() for file in (platform.data_dir / "valkey").rglob("*") if file.is_file())
    assert stored.encode() in written
    assert UNUSED_SECRET.encode() not in written
    file = platform.data_dir / "sealing.key"
    before = file.read_text()
    assert platform.run("secrets", "rotate").wait(60) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert before in file.read_text() != before
    assert client.invoke("keeps", {}).result == len(UNUSED_SECRET)


def test_another_worker_of_the_host_joins_without_being_told_where(platform: Platform) -> None:
    platform.environment["QUICKTHAW_NODE"] = "second"
    joined = platform.run("worker")
    wait_for(lambda: {node.id for node in platform.client.nodes()} == {"first", "second"}, "the second node", 90)
    joined.send_signal(signal.SIGTERM)
    joined.wait(60)
    assert "NOPERM" not in (platform.folder / "worker.out").read_text()
