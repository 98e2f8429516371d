"""What a worker does with functions that misbehave: each fails alone, promptly, with its cause."""

from __future__ import annotations

import pytest

from quickthaw.types import InvocationInfo, InvocationState, Limits
from tests.integration.worker.node_process import NodeProcess
from tests.integration.worker.worker_process import wait_for


def failed(info: InvocationInfo, code: str) -> str:
    """Check how it failed and return the message."""
    assert info.state == InvocationState.FAILED
    assert info.error is not None
    assert info.error["code"] == code, info.error
    return str(info.error["message"])


CASES = {
    "raises": ("raise ValueError('no such thing')", "handler_failed", "ValueError: no such thing"),
    "result": ("return {1, 2}", "handler_failed", "set that JSON cannot carry"),
    "nan": ("return float('nan')", "handler_failed", "JSON"),
    "huge-number": ("return 10**40", "handler_failed", "does not fit into 64 bits"),
    "surrogate": ("return '\\ud800'", "handler_failed", "JSON"),
    "exits": ("import sys; sys.exit(3)", "handler_failed", "exited"),
    "interrupts": ("raise KeyboardInterrupt", "handler_failed", "KeyboardInterrupt"),
    "memory": ("x = bytearray(1 << 30); return len(x)", "memory_limit_exceeded", "memory limit"),
    "recursion": ("return handle(model)", "handler_failed", "RecursionError"),
    "sampling": ("return list(model.complete('x', temperature=9))", "invalid_request", "temperature"),
    "context": ("return list(model.complete('x' * 9000))", "context_length_exceeded", "9000"),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CASES)
def test_a_failing_handler_fails_its_invocation_alone(node: NodeProcess, name: str) -> None:
    body, code, words = CASES[name]
    source = f"def handle(model, ok=False):\n    if ok: return 'fine'\n    {body}\n"
    version = node.deploy(name, source, memory="256MiB")
    assert words in failed(node.call(version, {}), code)
    assert node.call(version, {"ok": True}).result == "fine"
    assert len(node.slots.instances(version=version.id)) == 1


def test_the_traceback_shows_the_users_lines_only(node: NodeProcess) -> None:
    version = node.deploy("traceback", "def inner():\n    return 1 / 0\n\ndef handle(model):\n    return inner()\n")
    message = failed(node.call(version, {}), "handler_failed")
    assert 'File "function.py", line 2, in inner' in message
    assert "handlers.py" not in message


def test_input_that_the_handler_does_not_take_is_the_callers_fault(node: NodeProcess) -> None:
    version = node.deploy("arguments", "def handle(model, a):\n    return a\n")
    assert "b" in failed(node.call(version, {"a": 1, "b": 2}), "invalid_request")


def test_a_handler_that_ends_its_process_loses_that_instance_only(node: NodeProcess) -> None:
    other = node.deploy("bystander")
    kept = node.ready(other)
    source = "import os\ndef handle(model):\n    yield 'a'\n    os._exit(7)\n"
    version = node.deploy("os-exit", source, resumable=False)
    message = failed(node.call(version, {}), "instance_lost")
    assert "exited with status 7" in message
    assert node.state(kept) == "ready"
    assert node.call(other).result == "hello"
    wait_for(lambda: not node.slots.instances(version=version.id), "the lost instance being forgotten")


def test_printing_megabytes_costs_lines_not_the_node(node: NodeProcess) -> None:
    source = """
def handle(model):
    for _ in range(40):
        print('x' * 100_000 + '\\n' + 'y\\n' * 2000)
    return 'ok'
"""
    version = node.deploy("chatty", source)
    assert node.call(version, {}).result == "ok"
    wait_for(lambda: any("suppressed" in row["line"] for row in node.logs("chatty")), "the suppression's report")
    assert all(len(row["line"]) <= 8192 for row in node.logs("chatty"))


def test_output_past_the_limit_fails_the_invocation(node: NodeProcess) -> None:
    version = node.deploy("endless", "def handle(model):\n    while True:\n        yield 'x' * 10_000\n")
    message = failed(node.call(version, {}), "handler_failed")
    assert "max_output" in message


@pytest.mark.parametrize(
    ("source", "limits", "code"),
    [
        ("import time\ndef handle(model):\n    time.sleep(60)\n", {"first_token": 0.3}, "first_token_timeout"),
        (
            "import time\ndef handle(model):\n    yield 1\n    time.sleep(60)\n",
            {"between_tokens": 0.3},
            "token_timeout",
        ),
        (
            "def handle(model):\n    while True:\n        for d in model.complete('x'): yield d\n",
            {"total": 0.5},
            "total_timeout",
        ),
    ],
)
def test_a_handler_that_never_ends_is_ended_by_its_limits(
    node: NodeProcess, source: str, limits: dict[str, float], code: str
) -> None:
    version = node.deploy(code.replace("_", "-"), source, limits=limits, concurrency=1, options={"token_delay": "20ms"})
    node.ready(version)
    info = node.call(version, {})
    assert info.state == InvocationState.TIMED_OUT
    assert info.error is not None
    assert info.error["code"] == code
    assert all(not node.slots.leases(view.id) for view in node.slots.instances(version=version.id))


def test_an_instance_full_of_deaf_handlers_is_replaced(node: NodeProcess) -> None:
    version = node.deploy(
        "deaf", "import time\ndef handle(model):\n    time.sleep(60)\n", limits={"first_token": 0.1}, concurrency=1
    )
    instance = node.ready(version)
    for _ in range(2):
        assert node.call(version, {}).state == InvocationState.TIMED_OUT
    wait_for(lambda: node.state(instance) is None, "the end of the instance")


def test_an_instance_whose_code_lets_nothing_else_run_is_ended_and_others_are_served_by_the_next(
    node: NodeProcess,
) -> None:
    source = """
import re
def handle(model, pattern='(a+)+$'):
    return re.match(pattern, 'a' * 60 + '!') is None
"""
    version = node.deploy("stuck", source, limits={"first_token": 60, "total": 60}, concurrency=4)
    instance = node.ready(version)
    node.invoke(version, {}, limits=Limits(total=0.5))
    other = node.invoke(version, {"pattern": "b"})
    wait_for(lambda: node.state(instance) is None, "the end of the instance")
    node.start_instance(version)  # as the controller does for what is queued again
    assert node.ended(other).result is True
    assert any("lets nothing else run" in row["line"] for row in node.logs("stuck"))


HANGS_ITS_ENGINE = """
import threading
def handle(model, prompt, hang=False):
    if hang:
        engine = getattr(model._engine, "_engine", model._engine)
        engine._next = threading.Event().wait  # its thread waits for ever before the next token
    yield from model.complete(prompt)
"""


def test_an_instance_that_lets_the_limits_of_call_after_call_run_out_is_replaced(node: NodeProcess) -> None:
    """Its engine waits for what never comes. It would be given calls for ever, and each would time out."""
    version = node.deploy("hangs", HANGS_ITS_ENGINE, limits={"first_token": 0.3, "between_tokens": 0.3}, concurrency=4)
    instance = node.ready(version)
    assert node.call(version, {"prompt": "a", "hang": True}).state == InvocationState.TIMED_OUT
    for _ in range(4):  # of a caller with less patience than the function has
        hurried = node.invoke(version, {"prompt": "b"}, limits=version.spec.limits.model_copy(update={"total": 0.05}))
        assert node.ended(hurried).state == InvocationState.TIMED_OUT
    assert node.state(instance) == "ready"
    for _ in range(2):
        assert node.call(version, {"prompt": "c"}).state == InvocationState.TIMED_OUT
    wait_for(lambda: node.state(instance) is None, "the end of the instance")
    assert node.call(version, {"prompt": "served"}).result == "served"
    assert any("the limits of 3 calls ran out" in row["line"] for row in node.logs("hangs"))


def test_calls_that_time_out_between_others_that_are_served_keep_their_instance(node: NodeProcess) -> None:
    source = "import time\ndef handle(model, seconds):\n    time.sleep(seconds)\n    return seconds\n"
    version = node.deploy("now-and-then", source, limits={"first_token": 0.2}, concurrency=8)
    instance = node.ready(version)
    for _ in range(4):
        assert node.call(version, {"seconds": 0.6}).state == InvocationState.TIMED_OUT
        assert node.call(version, {"seconds": 0}).state == InvocationState.SUCCEEDED
    assert node.state(instance) == "ready"


START_FAILURES = {
    "import-error": ("import nosuchmodule\ndef handle(model): pass\n", "ModuleNotFoundError"),
    "import-raises": ("raise RuntimeError('not today')\ndef handle(model): pass\n", "not today"),
    "import-exits": ("import sys\nsys.exit(1)\ndef handle(model): pass\n", "SystemExit"),
    "import-ends-process": ("import os\nos._exit(4)\ndef handle(model): pass\n", "exited with status 4"),
}


@pytest.mark.parametrize("name", START_FAILURES)
def test_a_failing_start_fails_everything_that_waits_promptly_with_its_cause(node: NodeProcess, name: str) -> None:
    source, words = START_FAILURES[name]
    version = node.deploy(name, source, limits={"start": 600})  # nobody waits for that here
    waiting = [node.invoke(version, {}) for _ in range(3)]
    for identity in waiting:
        assert words in failed(node.ended(identity), "start_failed")

    def logged() -> bool:
        lines = [row["line"] for row in node.logs(name) if row["stream"] == "platform"]
        return any(line.startswith("start failed: ") and words in line for line in lines)

    wait_for(logged, "the line in the function's log")
    assert node.slots.instances(version=version.id) == []


def test_a_handler_that_imports_for_ever_fails_at_the_start_limit(node: NodeProcess) -> None:
    version = node.deploy(
        "slow-import", "import time\ntime.sleep(60)\ndef handle(model): pass\n", limits={"start": 0.5}
    )
    assert "limit start" in failed(node.call(version, {}), "start_failed")


def test_a_bad_engine_option_fails_the_start_with_the_known_ones(node: NodeProcess) -> None:
    version = node.deploy("bad-option")
    broken = version.model_copy(
        update={"id": "broken-option", "spec": version.spec.model_copy(update={"options": {"colour": "red"}})}
    )
    node.redis.set(f"qt:version:{broken.id}", broken.model_dump_json())
    assert "token_delay" in failed(node.call(broken), "start_failed")


def test_a_missing_checkpoint_fails_the_start(node: NodeProcess) -> None:
    version = node.deploy("no-checkpoint")
    broken = version.model_copy(update={"id": "broken-checkpoint", "checkpoint": "0000"})
    node.redis.set(f"qt:version:{broken.id}", broken.model_dump_json())
    assert "0000" in failed(node.call(broken), "start_failed")
    assert "0000" in node.slots.failures([broken.id])[broken.id]
