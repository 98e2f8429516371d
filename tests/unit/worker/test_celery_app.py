"""The Celery application, its command line, tracing switches and how ends are told."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.metering import tracing
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.celery_app import make_app
from quickthaw_platform.worker.launch import worker_argv
from quickthaw_platform.worker.processes import describe_exit


def test_without_a_redis_the_error_says_what_to_do() -> None:
    with pytest.raises(SettingsInvalid, match=r"quickthaw up.*QUICKTHAW_REDIS_URL"):
        make_app(Settings(redis_url=None))


def test_only_json_is_accepted_and_nothing_is_controlled_remotely() -> None:
    conf = make_app(Settings(redis_url="redis://127.0.0.1:1/0")).conf
    assert conf.accept_content == ["json"]
    assert conf.worker_enable_remote_control is False
    assert conf.task_acks_late is False


def test_no_thread_makes_anew_what_stands_for_the_results_that_nobody_keeps() -> None:
    app = make_app(Settings(redis_url="redis://127.0.0.1:1/0"))
    with ThreadPoolExecutor(1) as other:
        assert other.submit(lambda: app.backend).result() is app.backend


def test_a_worker_consumes_its_nodes_queue_and_no_other() -> None:
    argv = worker_argv(Settings(redis_url="redis://127.0.0.1:1/0", node="box.7"))
    assert argv[argv.index("--queues") + 1] == "node.box.7"
    assert argv[0] == sys.executable


def test_commands_need_neither_torch_nor_the_agent() -> None:
    code = (
        "import sys, quickthaw_platform.worker.commands;"
        "assert not {'torch', 'transformers', 'quickthaw_platform.worker.agent'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_agent_imports_no_torch() -> None:
    code = "import sys, quickthaw_platform.worker.celery_app; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_traces_are_made_when_the_usual_variables_ask(environment: dict[str, str], wanted: bool) -> None:
    assert tracing.wanted(environment) is wanted


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exited with status 0"),
        (-9, "was killed by signal 9 (out of memory?)"),
        (-15, "was killed by signal 15 (terminated)"),
        (
            -11,
            "was killed by signal 11 (it used memory that is not its own: a fault of native code, or recursion too "
            "deep for its stack)",
        ),
        (-31, "was killed by signal 31 (it made a system call that functions may not make)"),
        (3, "exited with status 3"),
        (143, "exited with status 143, as at signal 15 (terminated)"),
        (255, "exited with status 255"),
        (None, "ended"),
    ],
)
def test_how_a_process_ended_is_told(status: int | None, words: str) -> None:
    assert describe_exit(status) == words


def test_what_its_agent_ended_it_for_is_told_in_place_of_the_signal() -> None:
    assert describe_exit(-9, fault="it closed its socket") == "was ended, for it closed its socket"
    assert "`memory` (raise that)" in describe_exit(-9, fault="it closed its socket", out_of_memory=True)


def test_the_end_of_its_memory_names_the_field_that_bounds_it() -> None:
    words = "was killed for taking, with all its processes together, more than its function's `memory` (raise that)"
    assert describe_exit(-9, out_of_memory=True) == words
