"""The runner with real servers beside it, started and ended by commands of its own."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from quickthaw.errors import StartFailed
from quickthaw_backends.serving.endpoint import EndpointBackend
from quickthaw_platform.commands.ports import claim_port
from quickthaw_platform.comparison.deploying import Gateway, Stage
from quickthaw_platform.comparison.journal import Deployed, Journal
from quickthaw_platform.comparison.recording import Arrivals, Recording, Slo
from quickthaw_platform.comparison.runner import OnProgress, Plan, Runner, Watching
from quickthaw_platform.comparison.sides import EndpointSide, Side
from quickthaw_platform.comparison.writing import REQUESTS_FILE, make_folder
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.serving import Deployment, Endpoint, Platform
from quickthaw_platform.traffic import tables
from quickthaw_platform.traffic.arrivals import Arrivals as Arriving
from quickthaw_platform.traffic.named import Traffic
from quickthaw_platform.traffic.planning import LoadPlan, make_plan
from tests.process_facts import command_of

SERVER = Path(__file__).parent / "server.py"
GATEWAY = "http://127.0.0.1:1"


class NoPlatform:
    """A platform that is only asked to forget aliases."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[str, str]] = []

    def delete_alias(self, name: str, alias: str) -> None:
        self.forgotten.append((name, alias))


def command(port: int, most: int | None = None) -> str:
    return shlex.join([sys.executable, str(SERVER), str(port), *([] if most is None else [str(most)])])


def side(name: str, *, most: int | None = None, url: str | None = None, model: str = "m") -> Side:
    port = claim_port("127.0.0.1", 0)
    if url is not None:
        return Side(name, "endpoint", endpoint=EndpointSide(url, model))
    return Side(name, "endpoint", endpoint=EndpointSide(f"http://127.0.0.1:{port}", model, command(port, most)))


def load(rate: float = 20.0, seconds: float = 1.0) -> LoadPlan:
    return make_plan(Traffic("constant", Arriving(kind="constant", rate=rate), 20, 3), seconds)


def recording(sides: list[Side], repeats: int) -> Recording:
    return Recording(
        created_at=0.0, command="quickthaw compare", commit="", machine={}, function="chat", model="m",
        arrivals=Arrivals(label="constant", kind="constant", synthetic=True, rate=20, count=20, seconds=1.0),
        backends=[one.recorded() for one in sides], slo=Slo(ttft=1.0, tpot=1.0), repeats=repeats,
    )  # fmt: skip


def runner(
    folder: Path, sides: list[Side], *, plan: LoadPlan | None = None, repeats: int = 1, platform: Any = None,
    said: list[str] | None = None, probe: bool = False,
    progress: Callable[[str], AbstractContextManager[OnProgress | None]] = lambda _what: nullcontext(),
) -> Runner:  # fmt: skip
    gateway = Gateway(cast("Platform", platform or NoPlatform()), Endpoint(GATEWAY, ""))
    stage = Stage(sides, gateway, Journal(folder.parent))
    watching = Watching((said if said is not None else []).append, progress)
    return Runner(
        Plan(sides, load() if plan is None else plan, recording(sides, repeats), folder, probe=probe), stage, watching
    )


def children() -> Mapping[int, str]:
    found = psutil.Process().children(recursive=True)
    return {process.pid: command_of(process) for process in found if process.is_running()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    make_folder(made)
    return made


def test_every_side_gets_the_same_requests_and_everything_is_written(folder: Path) -> None:
    found = runner(folder, [side("one"), side("two")], repeats=2, probe=True).run()
    assert [(block.backend, block.repeat) for block in found.blocks] == [("one", 0), ("two", 0), ("two", 1), ("one", 1)]
    results = list(tables.read(folder / REQUESTS_FILE))
    assert len(results) == 4 * 20
    assert {result.error for result in results} == {None}
    intended: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for result in results:
        intended.setdefault((result.backend, result.repeat), []).append((result.number, result.intended))
    assert len({tuple(rows) for rows in intended.values()}) == 1
    assert {result.completion_tokens for result in results} == {3}
    assert all(block.cold_start_seconds and block.resident_bytes for block in found.blocks)
    assert (folder / "run.json").exists()
    usage = (folder / "usage.csv").read_text()
    assert "starting/command" in usage
    assert "idle" in usage
    assert not [line for line in children().values() if "server.py" in line]


def test_a_backend_that_dies_in_mid_run_is_named_and_counted_and_the_rest_goes_on(folder: Path) -> None:
    said: list[str] = []
    found = runner(folder, [side("dies", most=5), side("lives")], said=said).run()
    dead, alive = sorted(found.blocks, key=lambda block: block.backend)
    assert "ended by itself" in str(dead.error)
    assert "enough" in str(dead.error)  # what it wrote
    assert alive.error is None
    results = list(tables.read(folder / REQUESTS_FILE))
    failed = [result for result in results if result.backend == "dies" and result.error is not None]
    assert len(failed) == 20 - 4  # the first was the one that waited for it to be up
    assert all(result.error is None for result in results if result.backend == "lives")
    assert any("died" in text for text in said)


def test_a_server_that_was_there_already_has_no_start(folder: Path) -> None:
    started = side("started")
    assert started.endpoint is not None
    server = EndpointBackend(
        Deployment(endpoint=Endpoint(started.endpoint.url, "m"), options={"command": started.endpoint.command or ""})
    )
    server.up()
    try:
        (block,) = runner(folder, [side("there", url=started.endpoint.url)]).run().blocks
    finally:
        server.down()
    assert block.sent == 20
    assert block.cold_start_seconds is None


def test_an_endpoint_that_is_none_is_named_and_the_rest_goes_on(folder: Path) -> None:
    nobody = f"http://127.0.0.1:{claim_port('127.0.0.1', 0)}"
    found = runner(folder, [side("nobody", url=nobody), side("lives")]).run()
    [dead] = [block for block in found.blocks if block.backend == "nobody"]
    assert "does not serve" in str(dead.error)
    assert dead.sent == 0
    assert sum(block.sent for block in found.blocks) == 20


def test_a_command_that_cannot_be_run_says_why(folder: Path) -> None:
    broken = Side("broken", "endpoint", endpoint=EndpointSide("http://127.0.0.1:1", "m", "/nowhere/server"))
    [block] = runner(folder, [broken]).run().blocks
    assert "/nowhere/server" in str(block.error)


def test_no_request_at_all_is_a_run_too(folder: Path) -> None:
    empty = make_plan(Traffic("poisson", Arriving(kind="poisson", rate=1e-9), 20, 3), 0.2)
    [block] = runner(folder, [side("one")], plan=empty).run().blocks
    assert (block.sent, block.error) == (0, None)
    assert block.seconds >= 0.2


def test_what_a_killed_comparison_left_is_taken_away_first_at_its_own_gateway(folder: Path) -> None:
    journal, platform = Journal(folder.parent), NoPlatform()
    journal.add(Deployed(GATEWAY, "chat", "compare-old-0"))
    journal.add(Deployed("http://127.0.0.1:2", "chat", "compare-elsewhere"))
    runner(folder, [side("one")], platform=platform).run()
    assert platform.forgotten == [("chat", "compare-old-0")]
    assert [entry.alias for entry in journal.deployed()] == ["compare-elsewhere"]


def test_a_folder_that_holds_something_is_refused(folder: Path) -> None:
    (folder / "precious.txt").write_text("")
    with pytest.raises(SettingsInvalid, match="not empty"):
        make_folder(folder)


def test_a_probe_of_something_that_is_no_endpoint_ends_the_run_before_anything_is_measured(folder: Path) -> None:
    nobody = f"http://127.0.0.1:{claim_port('127.0.0.1', 0)}"
    with pytest.raises(StartFailed, match="does not serve"):
        runner(folder, [side("nobody", url=nobody)], probe=True).run()
    assert not [line for line in children().values() if "server.py" in line]


def test_traffic_that_one_instance_can_hardly_serve_is_foretold(folder: Path) -> None:
    said: list[str] = []
    runner(folder, [side("one")], plan=load(rate=3000.0, seconds=0.01), said=said, probe=True).run()
    assert [text for text in said if "can hardly keep up" in text and "--rate" in text]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_run_also_where_a_block_only_waits_for_its_end(
    folder: Path, number: signal.Signals
) -> None:
    nothing_comes = make_plan(Traffic("poisson", Arriving(kind="poisson", rate=1e-9), 20, 3), 60.0)

    @contextmanager
    def interrupts_once_all_is_sent(_what: str) -> Iterator[OnProgress]:
        yield lambda _now: signal.raise_signal(number)

    asked = runner(folder, [side("one")], plan=nothing_comes, repeats=5, progress=interrupts_once_all_is_sent)
    found = asked.run()
    assert found.interrupted
    [block] = found.blocks
    assert block.interrupted
    assert block.seconds < 60.0


def test_sigterm_between_two_blocks_takes_down_what_was_started(folder: Path) -> None:
    class Ends(list[str]):
        def append(self, text: str) -> None:
            super().append(text)
            if text.startswith("block 2"):
                signal.raise_signal(signal.SIGTERM)

    found = runner(folder, [side("one")], repeats=2, said=Ends()).run()
    assert found.interrupted
    assert len(found.blocks) == 1
    assert not [line for line in children().values() if "server.py" in line]
