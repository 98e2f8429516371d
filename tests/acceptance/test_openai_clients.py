"""Clients that people already have work against the platform unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from openai import OpenAI

from quickthaw import loading
from tests.acceptance.cluster import ROOT, VENV_BIN, Cluster

QUESTION = "What is the capital of France?"
OPENAI_3 = VENV_BIN.parent / "openai3"

PROGRAM = """
import openai, sys
client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2])
assert openai.__version__.split(".")[0] == sys.argv[3], openai.__version__
messages = [{"role": "user", "content": "What is the capital of France?"}]
asked = {"model": "chat", "messages": messages, "temperature": 0, "max_tokens": 24}
answer = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
assert "Paris" in answer.choices[0].message.content, answer
assert len(answer.choices[0].logprobs.content) == answer.usage.completion_tokens
stream = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
chunks = list(stream)
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer.choices[0].message.content
assert chunks[-1].usage.completion_tokens == answer.usage.completion_tokens
assert [m.id for m in client.models.list()] and client.models.retrieve("chat").id == "chat"
try:
    client.chat.completions.create(model="caht", messages=messages)
except openai.NotFoundError as error:
    assert error.code == "model_not_found" and "chat" in str(error), error
else:
    raise SystemExit("an unknown model was accepted")
print("ok")
"""


@pytest.mark.parametrize(
    ("major", "path"),
    [
        ("2", None),  # the test environment's own
        ("3", OPENAI_3),  # installed beside it by the Makefile
    ],
)
def test_the_official_client_of_both_majors_chats_streams_lists_and_sees_errors(
    cluster: Cluster, major: str, path: Path | None
) -> None:
    environment = dict(os.environ) | ({"PYTHONPATH": str(path)} if path else {})
    program = [sys.executable, "-c", PROGRAM, f"{cluster.url}/v1", cluster.api_key, major]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_completions_echo_the_prompt_with_its_log_probabilities(openai: OpenAI) -> None:
    answer = openai.completions.create(model="chat", prompt="Paris is in France", max_tokens=0, echo=True, logprobs=1)
    choice = answer.choices[0]
    assert choice.text == "Paris is in France"
    assert choice.logprobs is not None
    values = choice.logprobs.token_logprobs or []
    assert values[0] is None
    assert all(value < 0 for value in values[1:] if value is not None)
    assert "".join(choice.logprobs.tokens or []) == choice.text


def test_llm_command_line_prompts_the_function(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: thawed\n  model_name: chat\n  api_base: {cluster.url}/v1\n  api_key_name: quickthaw\n"
    )
    (tmp_path / "keys.json").write_text(json.dumps({"quickthaw": cluster.api_key}))
    command = [str(VENV_BIN / "llm"), "-m", "thawed", "-o", "temperature", "0", "-o", "max_tokens", "24", QUESTION]
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "LLM_LOAD_PLUGINS": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout


def test_curl_sees_the_stream_arrive_piece_by_piece_and_end_with_done(cluster: Cluster) -> None:
    body = {"model": "slow", "messages": [{"role": "user", "content": "one two three four five six"}], "stream": True}
    command = [
        *("curl", "-sN", f"{cluster.url}/v1/chat/completions", "-H", f"Authorization: Bearer {cluster.api_key}"),
        *("-H", "Content-Type: application/json", "-d", json.dumps(body)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    lines = [line.removeprefix("data: ") for line in done.stdout.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    deltas = [json.loads(line)["choices"][0] for line in lines[:-1]]
    assert deltas[0]["delta"]["role"] == "assistant"
    assert deltas[-1]["finish_reason"] in ("stop", "length")
    assert sum(bool(d["delta"].get("content")) for d in deltas) > 3


def test_the_embed_function_puts_like_texts_near_each_other(cluster: Cluster, openai: OpenAI) -> None:
    [function] = loading.functions(ROOT / "functions" / "embed" / "function.py")
    cluster.client.deploy(function.spec())
    texts = ["a cat sits on the mat", "a kitten rests on the rug", "the central bank raised interest rates"]
    cat, kitten, bank = (entry.embedding for entry in openai.embeddings.create(model="embed", input=texts).data)
    assert dot(cat, kitten) > dot(cat, bank) + 0.2
    assert dot(cat, cat) == pytest.approx(1, abs=1e-4)


def dot(one: list[float], other: list[float]) -> float:
    """Return the scalar product."""
    return sum(a * b for a, b in zip(one, other, strict=True))
