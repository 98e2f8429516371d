"""A handler with a loop of tools, cut after every frame that it sends: run again, it says the same to the end."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from quickthaw import Delta, ToolCallDelta, tools
from quickthaw.generation import ChatOptions
from quickthaw_platform.contracts import Engine, GenerationRequest, Prompt, Sink
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.handlers import Runner
from quickthaw_platform.worker.model import BoundModel

ASK = [{"role": "user", "content": "What is 1 + 2?"}]


def spelled(*deltas: Delta) -> list[Delta]:
    """Give each delta a token, and the first one the prompt's length."""
    return [
        Delta(d.text, (index,), finish_reason=d.finish_reason, reasoning=d.reasoning, tool_calls=d.tool_calls)
        for index, d in enumerate(deltas)
    ]


FIRST = spelled(
    Delta(reasoning="Add"),
    Delta("I "),
    Delta("add."),
    Delta(tool_calls=(ToolCallDelta(0, "call_a", "add"),)),
    Delta(tool_calls=(ToolCallDelta(0, arguments='{"a": 1, '),)),
    Delta(tool_calls=(ToolCallDelta(0, arguments='"b": 2}'),)),
    Delta(finish_reason="tool_calls"),
)
SECOND = spelled(Delta("It is "), Delta("3"), Delta(".", finish_reason="stop"))


class Conversing:
    """An engine and its tokenizer: a conversation's prompt is its number of messages, which decides the answer."""

    context_tokens = 100

    def __init__(self) -> None:
        self.tokenizer = self
        self.told: list[str] = []

    def chat(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions) -> Prompt:
        assert [made["function"]["name"] for made in options.tools] == ["add"]
        self.told += [message["content"] for message in messages if message["role"] == "tool"]
        return Prompt([len(messages)])

    def submit(self, request: GenerationRequest, sink: Sink) -> None:
        answer = FIRST if request.tokens[0] == len(ASK) else SECOND
        for delta in answer[request.generated :]:
            sink(delta)

    def cancel(self, request_id: str) -> None:
        """There is nothing left to cancel."""


def run(show_calls: bool, recorded: Sequence[Frame] = ()) -> tuple[list[Frame], list[str], int]:
    """Run the handler behind what was sent before: all frames it sends, what the model was told, the tool's calls."""
    calls = 0

    def add(a: int, b: int) -> int:
        nonlocal calls
        calls += 1
        return a + b

    def handle(model: BoundModel) -> Iterator[Delta]:
        conversation = yield from tools.run(model, ASK, [add], show_calls=show_calls)
        yield Delta(f" ({len(conversation)} messages)")

    engine = Conversing()
    frames: queue.Queue[Frame] = queue.Queue()
    runner = Runner(
        cast("Engine", engine),
        handle,
        bundle=Path("/nowhere"),
        max_output=1 << 20,
        captures=(),
        resumable=True,
        send=frames.put,
        send_soon=frames.put,
        on_prefill=lambda _: None,
        on_output=lambda: None,
    )
    runner.invoke("i", 0, {"input": {}, "seed": 1}, history(recorded))
    sent = [frames.get(timeout=10)]
    while sent[-1]["t"] in ("chunk", "record"):
        sent.append(frames.get(timeout=10))
    return sent, engine.told, calls


def history(frames: Sequence[Frame]) -> dict[str, Any]:
    """Return what is recorded of an earlier life."""
    outputs = [output(frame) for frame in frames if frame["t"] == "chunk"]
    return {"outputs": outputs, "records": [(frame["mark"], frame["delta"]) for frame in frames if frame.get("mark")]}


def output(frame: Frame) -> dict[str, Any]:
    return {name: frame[name] for name in ("delta", "value") if name in frame}


@pytest.mark.parametrize("show_calls", [False, True])
def test_cut_after_every_frame_it_says_the_same(show_calls: bool) -> None:
    undisturbed, told, calls = run(show_calls)
    assert (undisturbed[-1]["t"], told, calls) == ("done", ["3"], 1)
    said = [output(frame) for frame in undisturbed if frame["t"] == "chunk"]
    assert len(undisturbed) > len(FIRST) + len(SECOND)
    for cut in range(len(undisturbed)):
        again, told, calls = run(show_calls, undisturbed[:cut])
        assert (again[-1]["t"], told, calls) == ("done", ["3"], 1), cut
        both = [*undisturbed[:cut], *again]
        assert [output(frame) for frame in both if frame["t"] == "chunk"] == said, cut
        assert (again[-1]["value"], again[-1]["usage"]) == (undisturbed[-1]["value"], undisturbed[-1]["usage"]), cut


def test_the_result_is_the_text_and_with_shown_calls_the_message() -> None:
    text = "I add.\n\nIt is 3. (4 messages)"
    assert run(show_calls=False)[0][-1]["value"] == text
    shown = run(show_calls=True)[0][-1]["value"]
    assert shown["content"] == text
    assert [made["function"]["arguments"] for made in shown["tool_calls"]] == ['{"a": 1, "b": 2}']
