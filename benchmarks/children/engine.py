"""Child process: `engine.py CHECKPOINTS NAME ENGINE OPTIONS` runs an engine by itself, without the platform.

It answers questions on standard input, one JSON line each:
`{"conversations": […], "max_tokens": n, "ignore_eos": bool}`: all at once; for each `{"asked", "submitted", "ended",
"tokens", "arrivals": [[instant, text], …]}`, instants on the system's monotonic clock. `asked` is before the
conversation is rendered to tokens, `submitted` after. `{"render": […]}`: the tokens of the conversations.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quickthaw.errors import QuickthawError
from quickthaw_platform import plugins, settings
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Delta, Engine, GenerationRequest, Sampling
from quickthaw_platform.worker.instance import KV_SHARE


@dataclass
class Heard:
    """What one request produced, and when."""

    asked: float
    submitted: float = 0.0
    ended: float = 0.0
    tokens: int = 0
    arrivals: list[tuple[float, str]] = field(default_factory=list)
    error: str | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def take(self, item: Delta | QuickthawError) -> None:
        """Be the request's sink."""
        now = time.monotonic()
        if isinstance(item, QuickthawError):
            self.error = item.message
        else:
            self.tokens += len(item.tokens)
            if item.text:
                self.arrivals.append((now, item.text))
        if self.error or (isinstance(item, Delta) and item.finish_reason):
            self.ended = now
            self.over.set()

    def to_json(self) -> dict[str, Any]:
        """Return the answer's part of this request."""
        return {name: value for name, value in vars(self).items() if name != "over"}


def load(checkpoints: Path, name: str, engine_name: str, options: dict[str, Any]) -> Engine:
    """Prepare and start the engine as an instance would, with the platform's own defaults."""
    defaults = settings.load()
    engine = plugins.engine_class(engine_name)()
    engine.prepare(DiskStore(checkpoints).find(name), options, lambda _stage, _seconds: None)
    engine.start(defaults.device, defaults.threads, int(defaults.instance_memory * KV_SHARE))
    return engine


def generate(engine: Engine, conversations: list[Any], max_tokens: int, ignore_eos: bool) -> list[dict[str, Any]]:
    """Submit all conversations at once and wait for all answers."""
    sampling = Sampling(max_tokens=max_tokens, temperature=0, seed=0, ignore_eos=ignore_eos)
    heard = []
    for number, messages in enumerate(conversations):
        one = Heard(time.monotonic())
        tokens = tuple(engine.tokenizer.chat(messages).tokens)
        one.submitted = time.monotonic()
        engine.submit(GenerationRequest(f"{one.asked}-{number}", tokens, sampling), one.take)
        heard.append(one)
    for one in heard:
        one.over.wait()
    return [one.to_json() for one in heard]


def main(checkpoints: str, name: str, engine_name: str, options: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the libraries print goes to the log
    engine = load(Path(checkpoints), name, engine_name, json.loads(options))
    for line in sys.stdin:
        question = json.loads(line)
        if "render" in question:
            answer: Any = [engine.tokenizer.chat(messages).tokens for messages in question["render"]]
        else:
            answer = generate(engine, question["conversations"], question["max_tokens"], question["ignore_eos"])
        print(json.dumps(answer), file=answers, flush=True)
    engine.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
