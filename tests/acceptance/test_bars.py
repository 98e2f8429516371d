"""What a checkpoint is worth: measured, kept, and demanded by a deploy, by the commands that people use."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw import FunctionSpec
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from tests.acceptance.cluster import VENV_BIN, Cluster, wait_for
from tests.integration.worker.echo_checkpoint import MODEL
from tests.unit.engines import tiny

BASE, FORM = "tiny-base", "tiny-int8"
PARAGRAPHS = [
    " ".join(f"The {animal} of day {day} walked over {hill} hills and said so." for hill in range(3))
    for day, animal in enumerate(("fox", "dog", "owl", "hen", "cat"))
]
BAR = "perplexity[gptq@128,text.txt]<="


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five paragraphs of 36 words."""
    file = tmp_path_factory.mktemp("text") / "text.txt"
    file.write_text("\n\n".join(PARAGRAPHS))
    return file


@pytest.fixture(scope="module")
def cluster(one_node: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A platform with a tiny random model in two forms, of which nothing has been measured."""
    source, store = tmp_path_factory.mktemp("tiny"), DiskStore(one_node.data_dir / "checkpoints")
    tiny.checkpoint(source)
    model = str(source / "source-llama")
    made = {
        import_checkpoint(model, store, BASE, "float32").checkpoint.id,
        import_checkpoint(model, store, FORM, "float32", quantization="int8").checkpoint.id,
    }
    wait_for(lambda: made <= {found.id for found in one_node.client.checkpoints()}, "the announcement of both forms")
    yield one_node
    for function in one_node.client.functions():
        one_node.client.delete_function(function.name)
    for checkpoint in made:
        one_node.client.delete_checkpoint(checkpoint)


def quickthaw(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {"QUICKTHAW_URL": cluster.url, "QUICKTHAW_API_KEY": cluster.api_key, "COLUMNS": "300"}
    return subprocess.run(
        [VENV_BIN / "quickthaw", *arguments], env={**os.environ, **cluster.environment, **own},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def done(cluster: Cluster, *arguments: str) -> str:
    found = quickthaw(cluster, *arguments)
    assert found.returncode == 0, found.stderr
    return found.stdout


def refused(cluster: Cluster, *arguments: str) -> str:
    found = quickthaw(cluster, *arguments)
    assert found.returncode == 1, found.stdout + found.stderr
    return found.stderr


def kept_with(cluster: Cluster, checkpoint: str) -> list[list[str]]:
    """Return the first two words of each line that `models show` prints: a figure's name and value."""
    return [line.split()[:2] for line in done(cluster, "models", "show", checkpoint).splitlines()]


def test_the_command_that_a_refused_deploy_names_measures_what_lets_it_pass(cluster: Cluster, text: Path) -> None:
    deploy = ("deploy", "--model", BASE, "--name", "guarded", "--require")
    said = refused(cluster, *deploy, f"{BAR}1e9")
    named = re.search(r"`quickthaw (.*)`", said)
    assert named is not None, said
    measure = [str(text) if word == "FILE" else word for word in shlex.split(named[1])]
    measured = json.loads(done(cluster, *measure, "--json"))["perplexity"]["value"]
    assert ["perplexity[gptq@128,text.txt]", f"{measured:.6g}"] in kept_with(cluster, BASE)
    said = refused(cluster, *deploy, f"{BAR}{measured - 1}")
    assert f"is missed: {BASE} has perplexity {measured:.6g} by gptq@128 on text.txt" in said
    assert cluster.client.functions() == []
    done(cluster, *deploy, f"{BAR}{measured + 1}")
    assert [function.name for function in cluster.client.functions()] == ["guarded"]
    cluster.client.delete_function("guarded")


def test_a_canary_of_a_quantised_form_is_promoted_by_what_it_loses(cluster: Cluster, text: Path) -> None:
    compare = ("models", "compare", BASE, FORM, "--text", str(text), "--protocol", "gptq", "--window", "128", "--json")
    base, form = json.loads(done(cluster, *compare))
    lost = form["losses"]
    assert base["losses"] is None
    assert lost["positions"] == base["result"]["sums"]["tokens"]
    assert 0 < lost["divergence"]["value"] < 1
    assert 50 < lost["agreement"]["value"] <= 100
    assert form["checkpoint"]["bytes"] < base["checkpoint"]["bytes"]
    assert min(one["result"]["tokens_per_second"] for one in (base, form)) > 0
    first, second = (cluster.client.deploy(FunctionSpec(name="chat", model=name), name).id for name in (BASE, FORM))
    done(cluster, "alias", "set", "chat", "live", f"{first}=0.9", f"{second}=0.1")
    bar = f"kl[against.{BASE},text.txt]<="
    assert "is missed" in refused(cluster, "promote", "chat", "--require", f"{bar}0")
    assert cluster.client.function("chat").aliases["live"] == {first: 0.9, second: 0.1}
    done(cluster, "promote", "chat", "--require", f"{bar}1")
    assert cluster.client.function("chat").aliases["live"] == {second: 1.0}


def test_continuations_are_scored_beside_their_floors_and_kept(cluster: Cluster, text: Path) -> None:
    split = ("--prompt-words", "12", "--reference-words", "12", "--continuations", "0")
    written = ("validate", MODEL, "--engine", "echo", "--quality", *split, "--text", str(text), "--json")
    found = json.loads(done(cluster, *written))
    names = {"bleu", "chrf", "rouge-1", "rouge-2", "rouge-l", "distinct-1", "distinct-2"}
    assert set(found["figures"]) == names
    assert set(found["floors"]) == {"copy", "random", "unigrams"}
    assert all(set(floor) == names for floor in found["floors"].values())
    assert "version:" in found["signatures"]["bleu"]
    assert found["passages"] == len(PARAGRAPHS)
    kept = kept_with(cluster, MODEL)
    for metric, value in (("bleu", found["figures"]["bleu"]), ("bleu.copy", found["floors"]["copy"]["bleu"])):
        assert [f"{metric}[continuation@12.12,text.txt]", f"{value['value']:.6g}"] in kept
