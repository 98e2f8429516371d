"""`quickthaw up` as a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from quickthaw import Client
from quickthaw.config import resolve
from tests.process_facts import command_of

QUICKTHAW = str(Path(sys.executable).with_name("quickthaw"))
PATIENCE_SECONDS = 90.0
LIGHT = {"QUICKTHAW_PRELOAD": "none"}
"""For a start whose zygote need not have torch: it takes as many seconds as all else together."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Up:
    """One `quickthaw up`, with its output in a file."""

    def __init__(self, data_dir: Path, leave: Callable[[], object] | None = None, **variables: str) -> None:
        """`leave` sets, in the new process, what a parent leaves behind."""
        own = {"QUICKTHAW_DATA_DIR": str(data_dir), "QUICKTHAW_NODE": "node-1"}
        self.environment = {**os.environ, **own, **variables}
        self.output = data_dir / "up.out"
        data_dir.mkdir(exist_ok=True)
        with self.output.open("wb") as output:
            command = [QUICKTHAW, "up", "--port", "0"]
            self.popen = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output, preexec_fn=leave)
        self.process = psutil.Process(self.popen.pid)

    def wait_until_up(self) -> Client:
        """Return a client with the key that `up` left for the user."""
        wait_for(lambda: "quickthaw is up" in self.text() or self.popen.poll() is not None, "the start")
        assert self.popen.poll() is None, self.text()
        endpoint = resolve(environ=self.environment)
        return Client(endpoint.url, endpoint.api_key)

    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text()

    def worker(self) -> psutil.Process | None:
        """Return the worker's process, if it runs."""
        return next((one for one in self.process.children() if "--queues node.node-1" in command_of(one)), None)


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.1)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Up]]:
    """Start `quickthaw up` on this test's data directory; what still runs at the end is killed."""
    started: list[Up] = []

    def one(leave: Callable[[], object] | None = None, **variables: str) -> Up:
        started.append(Up(tmp_path / "data", leave, **variables))
        return started[-1]

    yield one
    for up in started:
        if up.popen.poll() is None:
            up.popen.kill()
            up.popen.wait()


@pytest.fixture
def foreign_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with modules of somebody else, under names that ours import, and with settings."""
    for name in ("celery", "gevent", "numpy", "redis", "setproctitle", "simplejson", "structlog"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__)\nraise ImportError")
    (tmp_path / "quickthaw.toml").write_text('labels = {zone = "here"}')
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / "ran").exists()


def test_up_serves_refuses_a_second_one_mends_itself_and_stops_whole(
    start: Callable[..., Up], foreign_folder: Path
) -> None:
    up = start(QUICKTHAW_DATA_DIR="data", **LIGHT)
    with up.wait_until_up() as client:
        assert client.endpoint.api_key is not None
        assert client.endpoint.api_key in up.text()
        assert [(node.id, node.labels) for node in client.nodes()] == [("node-1", {"zone": "here"})]

        second = subprocess.run([QUICKTHAW, "up"], env=up.environment, capture_output=True, text=True, check=False)
        assert second.returncode != 0
        assert f"already runs on {foreign_folder / 'data'}" in second.stderr

        killed = up.worker()
        assert killed is not None
        killed.kill()
        wait_for(lambda: "worker-1 ended and is started again" in up.text(), "the report")
        wait_for(lambda: up.worker() not in (None, killed), "the restart")
        wait_for(lambda: [node.id for node in client.nodes()] == ["node-1"], "the node's return")

    everybody = up.process.children(recursive=True)
    up.popen.send_signal(signal.SIGTERM)
    assert up.popen.wait(PATIENCE_SECONDS) == 0
    assert up.text().endswith("stopped\n")
    _, left = psutil.wait_procs(everybody, timeout=PATIENCE_SECONDS)
    assert left == []


def test_killing_up_leaves_no_process_and_the_next_one_has_what_was_stored(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    up = start(**LIGHT)
    with up.wait_until_up() as client:
        client.create_key("kept", ["invoke"])
    everybody = up.process.children(recursive=True)
    assert len(everybody) > 5
    up.popen.kill()
    up.popen.wait()
    _, left = psutil.wait_procs(everybody, timeout=PATIENCE_SECONDS)
    assert left == []
    refused = tmp_path / "data" / "valkey" / "sync.problem"
    refused.write_text("a.aof: Input/output error")  # what the disk has of the file then is not known
    with start(**LIGHT).wait_until_up() as client:
        stored = client.keys()
        wait_for(lambda: not refused.exists(), "the rewriting of Valkey's file")
    assert sorted(key.name for key in stored) == ["admin", "kept"]
    assert "Background AOF rewrite finished successfully" in (tmp_path / "data" / "logs" / "valkey.log").read_text()


def test_a_data_directory_on_a_disk_without_room_is_refused_at_once(start: Callable[..., Up], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk takes a mount, and this machine allows none: {mounted.stderr}")
    try:
        up = start(**LIGHT)
        assert up.popen.wait(PATIENCE_SECONDS) == 1
        assert "is on a disk with 0 MiB free" in up.text()
        assert "set QUICKTHAW_DATA_DIR" in up.text()
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "data")], check=True)


def _as_a_bad_parent() -> None:
    """Ignore Ctrl-C and the end of children, as some shells and runners do, and block what would end us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD})


def test_up_comes_up_and_ends_whatever_proxies_signals_and_variables_it_inherits(start: Callable[..., Up]) -> None:
    nobody = "http://127.0.0.1:9"
    links = {"QUICKTHAW_PORT": "tcp://10.96.0.7:8080", "QUICKTHAW_REDIS_SERVICE_HOST": "10.96.0.7"}
    blank = {"QUICKTHAW_DISK_DIR": "", "QUICKTHAW_LABELS": "", "QUICKTHAW_REMOTE": ""}
    up = start(
        _as_a_bad_parent,
        HTTP_PROXY=nobody,
        http_proxy=nobody,
        ALL_PROXY="socks5://127.0.0.1:9",
        **links,
        **blank,
        **LIGHT,
    )
    with up.wait_until_up() as client:
        assert [node.id for node in client.nodes()] == ["node-1"]
    asked = subprocess.run([QUICKTHAW, "ps"], env=up.environment, capture_output=True, text=True, check=False)
    assert "node-1" in asked.stdout, asked.stderr
    everybody = up.process.children(recursive=True)
    for child in everybody:
        status = Path(f"/proc/{child.pid}/status").read_text()
        assert "SigBlk:\t0000000000000000" in status, child
    up.popen.send_signal(signal.SIGINT)
    assert up.popen.wait(PATIENCE_SECONDS) == 0
    _, left = psutil.wait_procs(everybody, timeout=PATIENCE_SECONDS)
    assert left == []
