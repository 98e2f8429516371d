"""Two nodes on this machine whose streams are followed, moved and killed; and what that used."""

from __future__ import annotations

import json
import sys
import threading
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from redis import Redis
from tokenizers import Tokenizer

from benchmarks.migration.report import Cost, Piece
from benchmarks.migration.stopping_platform import FLAG
from benchmarks.processes import Child
from benchmarks.prompts import conversations
from benchmarks.served import Served
from quickthaw import Client, Event, EventType, Invocation, InvocationState
from quickthaw.errors import QuickthawError

PATIENCE_SECONDS = 240.0
STOPPING_PLATFORM = Path(__file__).with_name("stopping_platform.py")
OPTIONS = ("--workers", "2")
OF_A_CORE = {"QUICKTHAW_NODE": "node-1", "QUICKTHAW_THREADS": "1"}
"""Each node has a core of its own (see stopping_platform.py): they are called node-1 and node-1-2."""


class TwoNodes(Served):
    """`quickthaw up --workers 2`, in the form that can stop first (see stopping_platform.py)."""

    def __init__(self) -> None:
        super().__init__()
        command = [sys.executable, str(STOPPING_PLATFORM), "up", *OPTIONS]
        self._up = Child(command, self.data_dir / "up.log", self._env | OF_A_CORE)

    def __enter__(self) -> Self:
        super().__enter__()
        access = tomllib.loads((self.data_dir / "client.toml").read_text())
        self.client = Client(access["url"], access["api_key"])
        self._workers = _workers(self._up.popen.pid)
        self._redis = Redis.from_url(next(iter(self._workers.values())).environ()["QUICKTHAW_REDIS_URL"])
        file = next(self.checkpoints.rglob("tokenizer.json"))
        self._tokenizer = Tokenizer.from_file(str(file.resolve()))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.client.close()
        self._redis.close()
        super().__exit__(*exc_info)

    def stop_first(self, wanted: bool) -> None:
        """Have the workers stop an invocation before they compute what is known of it, or not."""
        flag = self.data_dir / FLAG
        flag.touch() if wanted else flag.unlink(missing_ok=True)

    def text_of(self, tokens: int) -> str:
        """Return a text of so many tokens."""
        questions = " ".join(message["content"] for one in conversations(0, 88) for message in one)
        ids = self._tokenizer.encode(questions, add_special_tokens=False).ids
        if len(ids) < tokens:
            raise ValueError(f"there are no {tokens} tokens of questions")
        text: str = self._tokenizer.decode(ids[:tokens], skip_special_tokens=False)
        return text

    def kill_instances(self, function: str) -> float:
        """Kill the processes of a function's instances; return when (Unix seconds)."""
        ids = {instance["id"] for instance in self.instances(function)}
        below = psutil.Process(self._up.popen.pid).children(recursive=True)
        doomed = [process for process in below if _instance_of(process) in ids]
        if not doomed:
            raise RuntimeError(f"{function} has no instance that could be killed")
        at = time.time()
        for process in doomed:
            process.kill()
        return at

    def cpu_seconds_by_node(self) -> dict[str, float]:
        """Return the processor time that each node's living processes have used so far."""
        return {
            node: _cpu_seconds([worker, *worker.children(recursive=True)]) for node, worker in self._workers.items()
        }

    def redis_bytes(self) -> int:
        """Return how many bytes have gone into Redis and out of it so far."""
        stats = self._redis.info("stats")
        return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])

    def rounds(self) -> dict[str, list[int]]:
        """Return the rounds of each move so far, by invocation, from the workers' logs."""
        found: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        for log in (self.data_dir / "logs").glob("worker-*.log"):
            for line in log.read_text().splitlines():
                if '"migrated"' in line:
                    entry = json.loads(line[line.index("{") :])
                    found[entry["invocation"]].append((entry["timestamp"], entry["rounds"]))
        return {invocation: [rounds for _, rounds in sorted(moves)] for invocation, moves in found.items()}


class Follower:
    """Follows an invocation in a thread of its own, as a client would, noting when each event came (Unix seconds)."""

    def __init__(self, call: Invocation) -> None:
        self.call = call
        self.pieces: list[Piece] = []
        self.moves: list[int] = []  # how many pieces there were at each handover
        self.losses: list[int] = []  # how many at each return to the queue
        self.ended: QuickthawError | bool = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def wait_for_pieces(self, count: int) -> None:
        """Wait until so many outputs have come."""
        self._wait(lambda: len(self.pieces) >= count, f"output {count}")

    def wait_for_move(self, number: int) -> None:
        """Wait for the first output after handover `number` (from 1)."""
        self._wait_behind(self.moves, number, "handover")

    def wait_for_loss(self, number: int) -> None:
        """Wait for the first output after the `number`-th return to the queue (from 1)."""
        self._wait_behind(self.losses, number, "loss")

    def wait_for_end(self) -> None:
        """Wait until it ends, in whatever way."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.ended is not False, PATIENCE_SECONDS):
                raise TimeoutError("the invocation did not end")

    def cancel(self) -> None:
        """End it."""
        self.call.cancel()
        self.wait_for_end()

    def _wait_behind(self, places: list[int], number: int, what: str) -> None:
        self._wait(lambda: len(places) >= number, f"{what} {number}")
        self.wait_for_pieces(places[number - 1] + 1)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: condition() or self.ended is not False, PATIENCE_SECONDS):
                raise TimeoutError(f"{what} did not come")
            if not condition():
                raise RuntimeError(f"{what} did not come, and the invocation has ended: {self.ended}")

    def _follow(self) -> None:
        ended: QuickthawError | bool = True
        try:
            for event in self.call.events():
                with self._changed:
                    self._take(event, time.time())
                    self._changed.notify_all()
        except QuickthawError as error:
            ended = error
        with self._changed:
            self.ended = ended
            self._changed.notify_all()

    def _take(self, event: Event, at: float) -> None:
        if event.type is EventType.CHUNK:
            self.pieces.append(Piece(at, tuple(event.data["delta"]["tokens"])))
        elif event.data.get("moved_from"):
            self.moves.append(len(self.pieces))
        elif event.data.get("state") == InvocationState.QUEUED and self.pieces:
            self.losses.append(len(self.pieces))


@dataclass(frozen=True, slots=True)
class Used:
    """What had been used at an instant: Unix seconds, bytes over Redis, processor seconds of each node."""

    at: float
    redis_bytes: int
    cpu_seconds: dict[str, float]

    @classmethod
    def now(cls, platform: TwoNodes) -> Used:
        """Read all of it."""
        return cls(time.time(), platform.redis_bytes(), platform.cpu_seconds_by_node())


def cost(idle: Used, began: Used, ended: Used, source: str, arrived_at: float) -> Cost:
    """Evaluate a move between `began` and `ended`; from `idle` to `began` the stream ran by itself."""
    usual = (began.redis_bytes - idle.redis_bytes) / (began.at - idle.at)
    used = {node: ended.cpu_seconds[node] - began.cpu_seconds[node] for node in began.cpu_seconds}
    return Cost(
        seconds=arrived_at - began.at,
        rounds=0,
        source_cpu_seconds=used[source],
        destination_cpu_seconds=sum(seconds for node, seconds in used.items() if node != source),
        redis_bytes=ended.redis_bytes - began.redis_bytes - usual * (ended.at - began.at),
    )


def _workers(root: int) -> dict[str, psutil.Process]:
    """Return the process of each node's worker, by the node's id."""
    found = psutil.Process(root).children()
    workers = [process for process in found if process.cmdline()[-1:] == ["worker"]]
    return {process.environ()["QUICKTHAW_NODE"]: process for process in workers}


def _instance_of(process: psutil.Process) -> str:
    """Return the instance that a process is: each runs in a folder below one called by its id. '': it is none."""
    try:
        return Path(process.cwd()).parent.name if process.name() == "qt-instance" else ""
    except psutil.Error:
        return ""


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
