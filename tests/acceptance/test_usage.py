"""What was used, asked of a whole platform: a call that moves counts once, its device time where it was spent."""

from __future__ import annotations

import csv

import pytest
from click.testing import CliRunner

from quickthaw import FunctionSpec, loading
from quickthaw.cli.main import main
from quickthaw.compression.verifier import is_subsequence
from quickthaw.resources import Scope, UsageRow
from quickthaw.types import Compression
from tests.acceptance.cluster import Cluster, wait_for
from tests.acceptance.test_migration import TEXT, begun, node_of
from tests.integration.worker.echo_checkpoint import MODEL
from tests.packaging.roots import ROOT
from tests.patience import PATIENCE_SECONDS
from tests.unit.gateway.test_compressed_texts import CONTEXT, QUESTION


@pytest.fixture(scope="module")
def cluster(two_nodes: Cluster) -> Cluster:
    """Nodes `a` and `b`, with the function `metered` (echo, 50 tokens a second), which no other file calls."""
    options = {"token_delay": "20ms"}
    two_nodes.client.deploy(
        FunctionSpec(name="metered", model=MODEL, engine="echo", memory="16MiB", options=options, keep_alive=2)
    )
    return two_nodes


def requests(cluster: Cluster) -> int:
    return sum(row.requests for row in cluster.client.usage(function="metered"))


def phases(cluster: Cluster) -> dict[tuple[str, str], float]:
    """Seconds by node and phase."""
    rows = cluster.client.usage(by=["node", "phase"], function="metered")
    return {(row.node or "", row.phase or ""): row.seconds for row in rows}


def whole(cluster: Cluster) -> UsageRow:
    """All of the function in one row."""
    (row,) = cluster.client.usage(by=["function"], function="metered", since="1h")
    return row


@pytest.mark.slow
def test_a_call_that_moves_counts_once_and_its_seconds_where_they_were_spent(cluster: Cluster) -> None:
    client = cluster.client
    call = begun(cluster, "metered", {"prompt": TEXT})
    source = node_of(call)
    client.migrate(call.id)
    wait_for(lambda: node_of(call) != source, "the move")
    assert call.result(timeout=PATIENCE_SECONDS) == TEXT
    wait_for(lambda: requests(cluster) == 1, "the count")
    wait_for(lambda: "metered" not in {one.function for one in client.instances()}, "the scale to zero")
    wait_for(lambda: phases(cluster).keys() >= {("a", "idle"), ("b", "idle")}, "both nodes' last records")
    wait_for(lambda: sum(phases(cluster).values()) == pytest.approx(whole(cluster).seconds), "sums that agree")
    usage, counted = call.status().usage, whole(cluster)
    assert usage is not None
    assert (counted.requests, counted.tokens_in) == (1, usage.prompt_tokens)
    assert counted.tokens_out == usage.completion_tokens
    assert phases(cluster)[source, "decode"] > 0
    assert {node for node, _ in phases(cluster)} == {"a", "b"}
    (key,) = [row.key for row in client.usage(by=["key"], function="metered") if row.key]
    keys = client.keys()
    assert key in {known.id for known in keys}


@pytest.mark.slow
def test_a_compressed_prompt_is_what_the_model_reads_and_what_it_saves_is_counted(cluster: Cluster) -> None:
    client = cluster.client
    half = Compression(ratio=0.5)
    client.deploy(FunctionSpec(name="shorter", model=MODEL, engine="echo", memory="16MiB", compress=half))
    call = client.spawn("shorter", {"prompt": CONTEXT})
    answer = call.result(timeout=PATIENCE_SECONDS)
    assert len(answer) < 0.7 * len(CONTEXT)
    assert answer.endswith(QUESTION)
    usage = call.status().usage
    assert usage is not None
    whole = client.invoke("shorter", {"prompt": CONTEXT}, compress=False)
    assert whole.result == CONTEXT
    assert whole.usage is not None
    assert (usage.original_tokens, usage.compression) == (whole.usage.prompt_tokens, "compressed")
    wait_for(lambda: [row.requests for row in client.usage(by=["function"], function="shorter")] == [2], "the count")
    (row,) = client.usage(by=["function"], function="shorter")
    assert row.tokens_saved == usage.saved_tokens > 0
    assert row.tokens_in + row.tokens_saved == 2 * whole.usage.prompt_tokens


@pytest.mark.slow
def test_a_small_model_may_say_what_is_left_out(cluster: Cluster) -> None:
    client = cluster.client
    (compressor,) = loading.functions(ROOT / "functions" / "compress" / "function.py", None)
    client.deploy(compressor.spec())
    call = client.spawn("metered", {"prompt": CONTEXT}, compress={"ratio": 0.6, "by": "compress"})
    answer = call.result(timeout=PATIENCE_SECONDS)
    usage = call.status().usage
    assert usage is not None
    assert usage.compression in ("compressed", "partly")
    assert is_subsequence(answer, CONTEXT)
    assert answer.endswith(QUESTION)
    assert len(answer) < len(CONTEXT)


@pytest.mark.slow
def test_the_command_prints_a_table_and_a_focus_file(cluster: Cluster) -> None:
    cluster.client.spawn("metered", {"prompt": "hi"}).result(timeout=PATIENCE_SECONDS)
    wait_for(lambda: requests(cluster) >= 1, "the count")
    key = cluster.client.create_key("reader", [Scope.DEPLOY]).key
    at = ("--url", cluster.client.endpoint.url, "--api-key", key, "usage")
    table = CliRunner().invoke(main, [*at, "--by", "function,backend"])
    assert table.exit_code == 0, table.output
    assert ["metered", "serverless"] in [line.split()[:2] for line in table.output.splitlines()]
    focus = CliRunner().invoke(main, [*at, "--focus", "--hourly-usd", "1"])
    assert focus.exit_code == 0, focus.output
    rows = list(csv.DictReader(focus.output.splitlines()))
    seconds = sum(row.seconds for row in cluster.client.usage())
    assert 0 < sum(float(row["BilledCost"]) for row in rows) <= seconds / 3600 + 0.01
