"""`quickthaw validate` on a whole platform: stopped and resumed, several at once, over a worker's death."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from quickthaw import FunctionSpec
from quickthaw.errors import Conflict, NotServable
from quickthaw_backends.engines.counter import uniform
from quickthaw_platform.validation import subjects
from quickthaw_platform.validation.corpus import read_corpus
from quickthaw_platform.validation.result import ValidationResult
from quickthaw_platform.validation.running import Listening, Wish, find_tokenizer, validate
from tests.acceptance.cluster import VENV_BIN, Cluster, wait_for
from tests.integration.worker.echo_checkpoint import MODEL

WINDOW = 64
TEXT = "The quick brown fox jumps over the lazy dog, and nobody minds.\n" * 40  # a token a byte: 40 windows
WINDOWS = len(TEXT) // WINDOW


def perplexity(window: int) -> float:
    """Return what the echo engine says of every window: its log-probabilities depend on the place alone."""
    return math.exp(-math.fsum(math.log(uniform(0, place)) for place in range(1, window)) / (window - 1))


PERPLEXITY = perplexity(WINDOW)


@pytest.fixture(scope="module")
def cluster(two_nodes: Cluster) -> Cluster:
    """Nodes `a` and `b`, and the function `scored`: one instance on each, which takes a while for each window."""
    (two_nodes.data_dir / "text.txt").write_text(TEXT)
    pair = {"min_instances": 2, "max_instances": 2, "spread": True, "concurrency": 2}
    two_nodes.client.deploy(
        FunctionSpec(name="scored", model=MODEL, engine="echo", options={"first_token_delay": "100ms"}, **pair)
    )
    two_nodes.wait_for_one_on_each("scored")
    return two_nodes


def run(cluster: Cluster, wish: Wish, listening: Listening | None = None, name: str = "scored") -> ValidationResult:
    folder = cluster.data_dir / "validations"
    with subjects.served(cluster.client, name, subjects.Making(), folder, print) as served:
        tokenizer = find_tokenizer(served, cluster.data_dir / "checkpoints", None)
        corpus = read_corpus(cluster.data_dir / "text.txt")
        return validate(served, corpus, tokenizer, wish, folder, listening)


def command(cluster: Cluster, *arguments: str) -> subprocess.Popen[str]:
    own = {"QUICKTHAW_URL": cluster.url, "QUICKTHAW_API_KEY": cluster.api_key}
    given = ["validate", *arguments, "--text", str(cluster.data_dir / "text.txt"), "--window", str(WINDOW), "--json"]
    return subprocess.Popen(
        [VENV_BIN / "quickthaw", *given, "--protocol", "gptq"], env={**os.environ, **cluster.environment, **own},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_worker_that_is_killed_changes_no_sum_and_costs_only_what_it_was_at(cluster: Cluster) -> None:
    done = 0

    def progress(windows: int, _tokens: int) -> None:
        nonlocal done
        done = windows
        if windows == 6 and cluster.processes["a"].poll() is None:
            cluster.kill("a")

    found = run(cluster, Wish("gptq", WINDOW), Listening(progress=progress))
    assert done == WINDOWS
    assert found.perplexity.value == pytest.approx(PERPLEXITY)
    assert found.sums.tokens == WINDOWS * (WINDOW - 1)
    assert cluster.processes["a"].poll() is not None
    cluster.start("a")
    cluster.wait_for_return()


def test_two_validations_at_once_find_what_each_finds_alone_and_the_same_twice_is_refused(cluster: Cluster) -> None:
    refused: list[Conflict] = []

    def again(_windows: int, _tokens: int) -> None:
        if not refused:
            with pytest.raises(Conflict) as caught:
                run(cluster, Wish("gptq", WINDOW))
            refused.append(caught.value)

    def beside() -> ValidationResult:
        return run(cluster, Wish("gptq", WINDOW // 2))

    with ThreadPoolExecutor(1) as other:
        shorter = other.submit(beside)
        found = run(cluster, Wish("gptq", WINDOW), Listening(progress=again))
        assert shorter.result().perplexity.value == pytest.approx(perplexity(WINDOW // 2))
    assert found.perplexity.value == pytest.approx(PERPLEXITY)
    assert refused


def test_a_stopped_command_goes_on_where_it_was_and_leaves_nothing_behind(cluster: Cluster) -> None:
    folder = cluster.data_dir / "validations"
    stopped = command(cluster, "scored")
    wait_for(lambda: sum(len(f.read_text().splitlines()) for f in folder.glob("*.jsonl")) > 5, "five windows", 60)
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 1
    assert "--resume goes on" in said
    (journal,) = folder.glob("*.jsonl")
    before = len(journal.read_text().splitlines()) - 1
    assert 5 <= before < WINDOWS
    printed, said = command(cluster, "scored", "--resume").communicate(timeout=100)
    found = ValidationResult.model_validate_json(printed)
    assert found.perplexity.value == pytest.approx(PERPLEXITY)
    assert found.windows == WINDOWS
    assert found.subject.function == "scored"
    assert list(folder.iterdir()) == [], said


def test_a_checkpoint_has_a_function_for_the_time_which_a_kill_leaves_to_the_next_run(cluster: Cluster) -> None:
    def functions() -> list[str]:
        return [f.name for f in cluster.client.functions() if f.name.startswith(subjects.PREFIX)]

    killed = command(cluster, MODEL, "--engine", "echo")
    (left,) = wait_for(functions, "a function for the checkpoint", 60)
    killed.kill()
    killed.communicate(timeout=60)
    printed, said = command(cluster, MODEL, "--engine", "echo").communicate(timeout=100)
    assert f"removing the function {left}" in said
    found = json.loads(printed)
    assert found["perplexity"]["value"] == pytest.approx(PERPLEXITY)
    assert (found["subject"]["checkpoint"], found["subject"]["function"]) == (MODEL, None)
    assert functions() == []


def test_a_function_that_returns_no_log_probabilities_is_refused_before_anything_is_scored(cluster: Cluster) -> None:
    cluster.client.deploy(FunctionSpec(name="embedder", model="all-minilm-l6-v2", memory="512MiB"))
    planned: list[object] = []
    scored: list[int] = []
    listening = Listening(planned=planned.append, progress=lambda windows, _tokens: scored.append(windows))
    with pytest.raises(NotServable, match="does not tell how likely a prompt is"):
        run(cluster, Wish("gptq", WINDOW), listening, "embedder")
    assert planned
    assert scored == []
