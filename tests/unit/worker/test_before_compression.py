"""How many tokens a compressed prompt had before."""

from __future__ import annotations

from typing import Any

from quickthaw.types import Usage
from quickthaw_platform.worker.before_compression import counted

MESSAGES = [{"role": "user", "content": "a b"}, {"role": "user", "content": [{"type": "text", "text": "c"}]}]


def words(text: str) -> int:
    return len(text.split())


def request(**compression: Any) -> dict[str, Any]:
    return {"input": {"messages": MESSAGES}, "compression": compression}


def test_a_call_that_was_not_to_be_compressed_has_its_usage_as_it_is() -> None:
    usage = Usage(prompt_tokens=7)
    assert counted(usage, {"input": {}}, words) is usage


def test_each_text_that_was_shortened_adds_what_it_lost() -> None:
    originals = [[["messages", 0, "content"], "a x y b"], [["messages", 1, "content", 0, "text"], "c z"]]
    usage = counted(Usage(prompt_tokens=7), request(reason="compressed", originals=originals), words)
    assert (usage.prompt_tokens, usage.original_tokens, usage.compression) == (7, 10, "compressed")
    assert usage.saved_tokens == 3


def test_a_prompt_that_was_sent_as_it_was_says_why() -> None:
    usage = counted(Usage(prompt_tokens=7), request(reason="short", originals=[]), words)
    assert (usage.original_tokens, usage.compression, usage.saved_tokens) == (7, "short", 0)


def test_a_handler_that_never_asked_its_model_has_saved_nothing() -> None:
    originals = [[["messages", 0, "content"], "a x y b"]]
    assert counted(Usage(), request(reason="compressed", originals=originals), words).saved_tokens == 0


def test_text_whose_tokens_do_not_become_fewer_counts_as_nothing_saved() -> None:
    originals = [[["messages", 0, "content"], "ab"]]
    assert counted(Usage(prompt_tokens=7), request(reason="compressed", originals=originals), words).saved_tokens == 0
