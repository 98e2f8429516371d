"""The two generators as commands: each runs the same arrivals and prompts, and gives times from the same marks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.assets import ASSETS, staged
from benchmarks.processes import OFFLINE
from quickthaw_platform.traffic import tables

REQUIREMENT = "guidellm==0.8.1"
MODEL = "steady"
PROMPT_TOKENS = 64
RUN_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of a generator saw of each request: seconds, one entry a request."""

    from_intended: tuple[float, ...]  # first token, from when the request was to be sent
    from_sent: tuple[float, ...]  # first token, from when the generator began to send
    gaps: tuple[float, ...]  # mean gap between two outputs


@dataclass(frozen=True, slots=True)
class Case:
    """So many requests, evenly spaced, each with so many tokens of an answer."""

    requests: int
    rate: float  # per second
    tokens: int


class Ours:
    """`quickthaw load`."""

    name = "quickthaw load"

    def __init__(self, url: str, case: Case, folder: Path) -> None:
        self._url, self._case, self._folder = url, case, folder

    def run(self) -> Measured:
        """Run it once."""
        case, out = self._case, self._folder / "ours.parquet"
        words = [
            "load", "--endpoint", self._url, "--model", MODEL, "--arrivals", "constant", "--rate", str(case.rate),
            "--duration", str(case.requests / case.rate), "--tokens-in", str(PROMPT_TOKENS),
            "--tokens-out", str(case.tokens), "--no-probe", "--no-progress", "--slo-ttft", "10s", "--out", str(out),
        ]  # fmt: skip
        _call([str(Path(sys.executable).with_name("quickthaw")), *words])
        results = list(tables.read(out))
        missed = [result.error for result in results if result.error is not None]
        if missed or len(results) != case.requests:
            raise RuntimeError(f"{len(results)} requests, {len(missed)} of them missed: {missed[:1]}")
        firsts = [(result.intended, result.sent, result.first_token or 0.0) for result in results]
        return Measured(
            tuple(first - intended for intended, _, first in firsts),
            tuple(first - sent for _, sent, first in firsts),
            tuple(result.tpot for result in results if result.tpot is not None),
        )


class GuideLlm:
    """`guidellm run`, in an environment of its own. `python`: that of one which has it already."""

    name = REQUIREMENT.replace("==", " ")

    def __init__(self, url: str, case: Case, folder: Path, python: Path | None = None) -> None:
        self._url, self._case, self._folder = url, case, folder
        self._python = str(python or installed())
        rows = ({"prompt": _prompt(n), "output_tokens_count": case.tokens} for n in range(case.requests))
        (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(self) -> Measured:
        """Run it once."""
        out = self._folder / "guidellm.json"
        words = [
            "run", "--backend", f"kind=openai_http,target={self._url},model={MODEL},validate_backend=false",
            "--profile", f"kind=constant,rate={self._case.rate}",
            "--data", f"kind=json_file,path={self._folder / 'prompts.jsonl'}",
            "--constraint", f"kind=max_requests,count={self._case.requests}",
            "--output", f"kind=json,path={out}", "--disable-console",
        ]  # fmt: skip
        _call([self._python, "-m", "guidellm", *words])
        (benchmark,) = json.loads(out.read_text())["benchmarks"]
        requests = benchmark["requests"]
        if len(requests["successful"]) != self._case.requests:
            counts = {state: len(found) for state, found in requests.items()}
            raise RuntimeError(f"guidellm did not complete {self._case.requests} requests: {counts}")
        times = [request["info"]["timings"] for request in requests["successful"]]
        return Measured(
            tuple(_first(time) - float(time["targeted_start"]) for time in times),
            tuple(_first(time) - float(time["request_start"]) for time in times),
            tuple(map(_gap, times)),
        )


def installed() -> Path:
    """Return a Python that has guidellm, made once beside the results; its torch is the one that is installed here."""
    folder = ASSETS / "guidellm"
    if not folder.exists():
        with staged(folder) as made:
            subprocess.run([sys.executable, "-m", "venv", str(made)], check=True)
            pip = [str(made / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            subprocess.run([*pip, f"torch=={version('torch')}", REQUIREMENT], check=True)
    return folder / "bin" / "python"


def _first(time: dict[str, Any]) -> float:
    return float(time["first_token_iteration"])


def _gap(time: dict[str, Any]) -> float:
    return float((time["last_token_iteration"] - time["first_token_iteration"]) / (time["token_iterations"] - 1))


def _prompt(number: int) -> str:
    return f"{number:08d} " + "word " * PROMPT_TOKENS


def _call(command: list[str]) -> None:
    environment = {**os.environ, **OFFLINE}
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
