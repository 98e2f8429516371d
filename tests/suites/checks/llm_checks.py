"""The command `llm`: prompts, streams, tools and `--schema`, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from checking import KEY, MODEL, PERSON_QUESTION, QUESTION, URL, check, run

SETTINGS = f"""
- model_id: thawed
  model_name: {MODEL}
  api_base: {URL}
  api_key_name: quickthaw
  supports_schema: true
  supports_tools: true
- model_id: completed
  model_name: {MODEL}
  api_base: {URL}
  api_key_name: quickthaw
  completion: true
"""
TOOL = "def get_weather(city: str) -> str:\n    'Tell the weather in a city.'\n    return 'sunny'\n"


def llm(*arguments: str, model: str = "thawed") -> str:
    """Run the command and return what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "extra-openai-models.yaml").write_text(SETTINGS)
        (Path(folder) / "keys.json").write_text(json.dumps({"quickthaw": KEY}))
        options = ["-o", "temperature", "0", "-o", "max_tokens", "64"]
        command = [str(Path(sys.executable).with_name("llm")), "-m", model, *options, *arguments]
        environment = {**os.environ, "LLM_USER_PATH": folder, "LLM_LOAD_PLUGINS": ""}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@check
def streamed() -> None:
    """The default is a stream."""
    assert llm(QUESTION).strip()


@check
def plain() -> None:
    """Without one the answer is the same."""
    assert llm("--no-stream", QUESTION) == llm(QUESTION)


@check
def system() -> None:
    """A system message goes along."""
    assert llm("-s", "Answer in one word.", QUESTION).strip()


@check
def completion() -> None:
    """A model of completions."""
    assert llm("The capital of France is", model="completed").strip()


@check
def schema() -> None:
    """`--schema` in llm's short form."""
    found = json.loads(llm("--schema", "name, age int", PERSON_QUESTION))
    assert isinstance(found["name"], str)
    assert isinstance(found["age"], int)


@check
def schema_not_streamed() -> None:
    """The same without a stream."""
    assert json.loads(llm("--no-stream", "--schema", "name, age int", PERSON_QUESTION)).keys() == {"name", "age"}


@check
def tools() -> None:
    """A tool from Python's source: the model answers or calls until the limit of the chain."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tool.py").write_text(TOOL)
        try:
            llm("--functions", str(Path(folder) / "tool.py"), "--cl", "2", QUESTION)
        except AssertionError as error:
            if "Chain limit" not in str(error):
                raise


if __name__ == "__main__":
    run()
