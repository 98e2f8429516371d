"""kill -9 of each kind of process, SIGTERM, and an outage of Redis: nothing accepted is lost, nothing stays behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw.types import InvocationState, Version
from quickthaw_platform.redis_keys import RedisKey
from tests.integration.worker.conftest import MakeNode
from tests.integration.worker.node_process import NodeProcess
from tests.integration.worker.worker_process import NODE, wait_for
from tests.valkey_process import ValkeyProcess

SLOW = {"token_delay": "20ms"}


@pytest.fixture
def streaming(node: NodeProcess, request: pytest.FixtureRequest) -> Iterator[tuple[Version, str]]:
    """A function of the shared worker whose invocation is in mid-stream."""
    version = node.deploy(f"s{abs(hash(request.node.name)) % 10**9}", options=SLOW)
    node.ready(version)
    identity = node.invoke(version, {"prompt": "x" * 60})
    wait_for(lambda: node.chunks(identity), "the first output")
    yield version, identity
    for view in node.slots.instances(version=version.id):
        node.commands.stop(NODE, view.id)


def test_killing_an_instance_queues_what_it_ran_again(node: NodeProcess, streaming: tuple[Version, str]) -> None:
    version, identity = streaming
    node.instance_process(version).kill()
    wait_for(lambda: node.store.get(identity).state == InvocationState.QUEUED, "the requeue")
    assert "killed by signal 9 (out of memory?)" in (node.store.get(identity).reason or "")
    node.store.cancel(identity, "enough")
    wait_for(lambda: not node.slots.instances(version=version.id), "the record's end")


def test_killing_an_instance_requeues_what_has_put_out_nothing(node: NodeProcess) -> None:
    version = node.deploy("requeued", options={"first_token_delay": "1s"})
    node.ready(version)
    identity = node.invoke(version, {"prompt": "again"})
    wait_for(lambda: node.store.get(identity).state == InvocationState.RUNNING, "the begin")
    node.instance_process(version).kill()
    wait_for(lambda: node.store.get(identity).state == InvocationState.QUEUED, "the requeue")
    node.start_instance(version)
    info = node.ended(identity)
    assert (info.result, info.epoch, info.attempts) == ("again", 2, 2)


def test_killing_a_starting_instance_starts_it_again(node: NodeProcess) -> None:
    version = node.deploy("restarted", options={"load_delay": "500ms"})
    identity = node.invoke(version)
    pid = wait_for(lambda: _starting(node, version), "the fork")
    os.kill(pid, signal.SIGKILL)
    assert node.ended(identity).result == "hello"


def _starting(node: NodeProcess, version: Version) -> int | None:
    try:
        return node.instance_process(version).pid
    except ValueError:  # it has no record yet
        return None


def test_killing_the_template_leaves_its_instances_and_the_next_start_makes_another(
    node: NodeProcess, streaming: tuple[Version, str]
) -> None:
    version, identity = streaming
    instance = node.instance_process(version).pid
    template = int(_status(instance, "PPid"))
    os.kill(template, signal.SIGKILL)
    assert node.ended(identity).result == "x" * 60
    assert node.call(version).result == "hello"
    assert node.instance_process(version).pid == instance
    other = node.deploy("after-template", options=SLOW)
    assert node.call(other).result == "hello"


def test_an_orphaned_instance_is_still_reaped_with_its_exit_status(
    node: NodeProcess, streaming: tuple[Version, str]
) -> None:
    version, identity = streaming
    instance = node.instance_process(version).pid
    os.kill(int(_status(instance, "PPid")), signal.SIGKILL)
    assert node.process is not None
    wait_for(lambda: int(_status(instance, "PPid")) == node.process.pid, "the adoption")  # type: ignore[union-attr]
    os.kill(instance, signal.SIGTERM)
    caged = node.redis.hget(RedisKey.NODE.of(NODE), "isolation") == "strict"  # then it is process 1 of its own
    ended = "exited with status 143" if caged else "killed by signal 15"
    wait_for(lambda: ended in (node.store.get(identity).reason or ""), "the requeue")
    node.store.cancel(identity, "enough")


def test_killing_the_zygote_leaves_templates_and_instances_and_brings_another(
    node: NodeProcess, streaming: tuple[Version, str]
) -> None:
    _version, identity = streaming
    (zygote,) = node.pids()["qt-zygote"]
    os.kill(zygote, signal.SIGKILL)
    assert node.ended(identity).result == "x" * 60
    other = node.deploy("after-zygote", options={"token_delay": "1ms", "first_token_delay": "1ms"})
    assert node.call(other).result == "hello"
    assert node.pids()["qt-zygote"] != [zygote]
    wait_for(lambda: len(node.pids()["qt-zygote"]) == 1, "one zygote")


def _status(pid: int, field: str) -> str:
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
        return next(line.split()[1] for line in file if line.startswith(f"{field}:"))


def test_killing_the_worker_leaves_no_process_and_its_successor_settles_what_ran(make_node: MakeNode) -> None:
    node = make_node()
    source = "import time\ndef handle(model):\n    yield 'a'\n    10 ** 10 ** 8\n    time.sleep(60)\n"
    busy = node.deploy("busy", source)  # computes for very long without letting any other thread run
    version = node.deploy("plain", options=SLOW)
    for each in (busy, version):
        node.ready(each)
    stuck, streaming = node.invoke(busy, {}), node.invoke(version, {"prompt": "x" * 100})
    wait_for(lambda: node.chunks(stuck) and node.chunks(streaming), "the first outputs")
    waiting = node.deploy("waiting", "import time\ndef handle(model):\n    time.sleep(60)\n")
    node.ready(waiting)
    unheard = node.invoke(waiting, {})
    wait_for(lambda: node.store.get(unheard).state == InvocationState.RUNNING, "the begin")
    node.kill()
    node.assert_no_process_left()
    node.start()
    for identity in (stuck, streaming, unheard):
        wait_for(lambda identity=identity: node.store.get(identity).state == InvocationState.QUEUED, "the requeue")  # type: ignore[misc]
    wait_for(lambda: not node.slots.instances(node=NODE), "the end of the records")


def test_a_ghost_that_is_given_work_is_forgotten_and_the_work_is_not_laid_to_its_charge(node: NodeProcess) -> None:
    version = node.deploy("haunted", options=SLOW)
    identities: list[str] = []
    for number in range(3):  # one more than it may be lost
        ghost = f"ghost-{number}"
        assert node.slots.reserve(version, NODE, ghost, node.settings.instance_memory)
        assert node.slots.loaded(ghost)
        assert node.slots.ready(ghost)
        node.store.claim(ghost)
        if not identities:
            identities.append(node.invoke(version))
        wait_for(lambda ghost=ghost: node.state(ghost) is None, "the ghost's end")  # type: ignore[misc]
        wait_for(lambda: node.store.get(identities[0]).state == InvocationState.QUEUED, "the requeue")
    node.start_instance(version)
    assert node.ended(identities[0]).result == "hello"


SLOW_THE_SECOND_TIME = """
import pathlib, time
imported = pathlib.Path(__file__).with_suffix(".imported")
if imported.exists():
    time.sleep(600)
imported.touch()
"""


def test_killing_the_worker_ends_a_zygote_that_still_imports(
    make_node: MakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy.py").write_text(SLOW_THE_SECOND_TIME)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))))
    node = make_node(preload="heavy")
    (first,) = wait_for(lambda: node.pids()["qt-zygote"], "the zygote")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: set(node.pids()["qt-zygote"]) - {first}, "the next zygote")
    node.kill()
    node.assert_no_process_left()


def test_sigterm_lets_running_invocations_finish_and_leaves_nothing(make_node: MakeNode) -> None:
    node = make_node()
    version = node.deploy("drained", options=SLOW)
    node.ready(version)
    identity = node.invoke(version, {"prompt": "x" * 60})
    wait_for(lambda: node.chunks(identity), "the first output")
    assert node.process is not None
    node.descendants()
    node.process.send_signal(signal.SIGTERM)
    wait_for(lambda: node.redis.hget(f"qt:node:{NODE}", "state") == "draining", "the announcement")
    assert node.process.wait(15) == 0
    assert node.store.get(identity).result == "x" * 60
    assert not node.redis.exists(f"qt:node:{NODE}")
    assert node.slots.instances() == []
    node.assert_no_process_left()


def test_a_drain_past_its_patience_gives_up_what_runs(make_node: MakeNode) -> None:
    node = make_node(drain_timeout=0.5)
    version = node.deploy("endless", options={"token_delay": "50ms"})
    node.ready(version)
    identity = node.invoke(version, {"prompt": "x" * 5000})
    wait_for(lambda: node.chunks(identity), "the first output")
    node.stop()
    info = node.store.get(identity)
    assert (info.state, info.reason) == (InvocationState.QUEUED, f"node {NODE} was shut down")


def test_a_cancel_is_heard_while_the_node_drains(make_node: MakeNode) -> None:
    node = make_node()
    version = node.deploy("cancel-in-drain", options={"token_delay": "50ms"})
    node.ready(version)
    identity = node.invoke(version, {"prompt": "x" * 5000})
    wait_for(lambda: node.chunks(identity), "the first output")
    assert node.process is not None
    node.process.send_signal(signal.SIGTERM)
    wait_for(lambda: node.redis.hget(f"qt:node:{NODE}", "state") == "draining", "the announcement")
    node.store.cancel(identity, "enough")
    node.commands.cancel(NODE, identity)
    assert node.process.wait(10) == 0


def test_a_stream_goes_on_after_redis_was_away(make_node: MakeNode, own_valkey: ValkeyProcess) -> None:
    node = make_node()
    version = node.deploy("outage", options=SLOW)
    node.ready(version)
    text = "".join(chr(97 + number % 26) for number in range(400))  # eight seconds
    identity = node.invoke(version, {"prompt": text})
    wait_for(lambda: len(node.chunks(identity)) > 20, "some output")
    own_valkey.kill()
    time.sleep(5)  # the outage itself: nothing tells when it has been long enough
    own_valkey.start()
    info = node.ended(identity)
    assert info.result == text
    assert "".join(chunk["delta"]["text"] for chunk in node.chunks(identity)) == text
    assert node.call(version).result == "hello"


def test_a_start_that_reaches_a_draining_node_is_given_back(make_node: MakeNode) -> None:
    node = make_node()
    version = node.deploy("late-start", options={"token_delay": "50ms"})
    node.ready(version)
    running = node.invoke(version, {"prompt": "x" * 60})
    wait_for(lambda: node.chunks(running), "the first output")
    late = node.deploy("late")
    instance = "late-1"
    assert node.slots.reserve(late, NODE, instance, node.settings.instance_memory)
    assert node.process is not None
    node.process.send_signal(signal.SIGTERM)
    wait_for(lambda: node.redis.hget(f"qt:node:{NODE}", "state") == "draining", "the announcement")
    node.commands.start(NODE, instance, late.id)
    wait_for(lambda: node.state(instance) is None, "the reservation's end")
    assert node.ended(running).result == "x" * 60


BREAKS_ITS_ENGINE = """
def handle(model, prompt):
    first_life = not any(model._replay._deltas.values())
    engine = getattr(model._engine, "_engine", model._engine)
    for index, delta in enumerate(model.complete(prompt)):
        yield delta
        if first_life and index == 1:
            engine._order = None  # its thread meets an error of its own at a next token
"""


def test_an_instance_whose_engine_fails_ends_and_the_call_goes_on_from_its_last_token(node: NodeProcess) -> None:
    """It would fail each further call, and be given them for ever."""
    version = node.deploy("engine-breaks", BREAKS_ITS_ENGINE, options=SLOW)
    node.ready(version)
    identity = node.invoke(version, {"prompt": "abcdef"})
    wait_for(lambda: "exited with status 70" in (node.store.get(identity).reason or ""), "the requeue")
    assert 2 <= len(node.chunks(identity)) < 6
    node.start_instance(version)
    ended = node.ended(identity)
    assert (ended.state, ended.epoch, ended.error) == (InvocationState.SUCCEEDED, 2, None)
    assert ended.result == "abcdef"


def test_an_engine_that_fails_before_its_instance_was_ready_fails_the_start_with_the_cause(node: NodeProcess) -> None:
    source = (
        BREAKS_ITS_ENGINE.replace("index == 1", "True").replace("yield delta", "pass").replace("first_life and", "")
    )
    version = node.deploy("engine-never-works", source, options=SLOW)
    ended = node.call(version)
    assert ended.state == InvocationState.FAILED
    assert ended.error is not None
    assert "the engine failed: TypeError" in ended.error["message"]
