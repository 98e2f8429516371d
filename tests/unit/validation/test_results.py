"""Results of validations under the names that bars use, and which of them are a checkpoint's."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from quickthaw import Client
from quickthaw.types import FunctionSpec, Handler, Version
from quickthaw_platform.validation.quality.result import QualityResult
from quickthaw_platform.validation.quality.telling import title
from quickthaw_platform.validation.result import (
    Interval,
    Measure,
    ScoredText,
    Subject,
    Sums,
    ValidationResult,
)
from quickthaw_platform.validation.results import keep, kept_form, text_name
from tests.unit.sdk.fake_gateway import NO_WAIT, URL, FakeGateway

WIKITEXT = "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08"
TEXT = ScoredText(name="wiki.test.raw.gz", digest=WIKITEXT, bytes=9, documents=1, form="wikitext")
SUBJECT = Subject(checkpoint="tiny", digest="c1", engine="transformers", model="tiny")


def perplexity(**fields: Any) -> ValidationResult:
    common: dict[str, Any] = {
        "protocol": "hf", "subject": SUBJECT, "text": TEXT, "tokenizer": "t", "bos": "none", "window": 1024,
        "stride": 512, "windows": 7, "sums": Sums(nll=30.0, tokens=10, words=5, bytes=50), "seconds": 1.0,
        "perplexity": Measure(value=20.0, interval=Interval(low=19.0, high=21.0)), "tokens_per_second": 10.0,
        "word_perplexity": Measure(value=400.0), "date": "2026-11-29T00:00:00Z",
    }  # fmt: skip
    return ValidationResult(**common | fields)


def continuation(**fields: Any) -> QualityResult:
    common: dict[str, Any] = {
        "subject": SUBJECT, "text": TEXT, "passages": 3, "of_passages": 3, "prompt_words": 32, "reference_words": 32,
        "seed": 1, "figures": {"bleu": {"value": 2.0}}, "floors": {"copy": {"bleu": {"value": 1.0}}},
        "signatures": {"bleu": "s"}, "empty": 0, "short": 1, "seconds": 1.0, "date": "2026-11-29T00:00:00Z",
    }  # fmt: skip
    return QualityResult(**common | fields)


def version(**fields: Any) -> Version:
    spec = FunctionSpec(name="f", model="tiny", options={"dtype": "float32"}, **fields)
    return Version(
        id="v1", function="f", number=1, checkpoint="c1", adapter_checkpoint="lora", created_at=1.0, spec=spec
    )


def test_a_perplexity_is_kept_with_its_interval_and_its_sums() -> None:
    found = kept_form(perplexity(), None)
    assert found is not None
    assert (found.checkpoint, found.title, found.engine, found.whole) == ("c1", "hf,wikitext-2", "transformers", True)
    assert found.metrics["perplexity"].low == 19.0
    assert found.metrics["word_perplexity"].value == 400.0
    assert found.counts == {"tokens": 10, "windows": 7, "words": 5, "bytes": 50}
    assert found.settings["nll"] == 30.0


@pytest.mark.parametrize(
    ("fields", "protocol"),
    [
        ({}, "hf"),
        ({"window": 512}, "hf@512.512"),
        ({"stride": 256}, "hf@1024.256"),
        ({"protocol": "gptq", "window": 2048, "stride": None}, "gptq"),
        ({"protocol": "llamacpp", "window": 256, "stride": None}, "llamacpp@256"),
    ],
    ids=["usual", "window", "stride", "gptq", "llamacpp"],
)
def test_what_is_not_usual_is_part_of_the_protocols_name(fields: dict[str, Any], protocol: str) -> None:
    found = kept_form(perplexity(**fields), None)
    assert found is not None
    assert found.protocol == protocol


def test_the_functions_options_and_adapter_are_told() -> None:
    found = kept_form(perplexity(), version())
    assert found is not None
    assert (found.options, found.adapter) == ({"dtype": "float32"}, "lora")


def test_the_precision_of_a_checkpoint_is_told_and_stands_beside_the_number() -> None:
    mixed = SUBJECT.model_copy(update={"options": {"exact": False, "compute": "mixed", "prefill_tokens": 1024}})
    found = kept_form(perplexity(subject=mixed), None)
    assert found is not None
    assert found.options == mixed.options
    assert perplexity(subject=mixed).title.endswith(", wiki.test.raw.gz, compute=mixed, exact=false")
    assert title(continuation(subject=mixed)).endswith(", greedy, compute=mixed, exact=false")
    assert perplexity().title.endswith(", wiki.test.raw.gz")


def test_a_part_of_a_text_is_marked() -> None:
    perplexities, continuations = kept_form(perplexity(limit=2), None), kept_form(continuation(of_passages=9), None)
    assert perplexities is not None
    assert continuations is not None
    assert not perplexities.whole
    assert not continuations.whole


def test_continuations_are_kept_with_their_floors() -> None:
    found = kept_form(continuation(), None)
    assert found is not None
    assert {name: figure.value for name, figure in found.metrics.items()} == {"bleu": 2.0, "bleu.copy": 1.0}
    assert found.title == "continuation,wikitext-2"
    other = kept_form(continuation(prompt_words=16), None)
    assert other is not None
    assert other.protocol == "continuation@16.32"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("my text, (v2).txt.gz", "my-text-v2-.txt"), ("ä", "text"), ("a" * 300, "a" * 128)],
    ids=["odd characters", "nothing left", "long"],
)
def test_the_name_of_another_text_is_made_plain(name: str, expected: str) -> None:
    assert text_name(TEXT.model_copy(update={"digest": "0" * 64, "name": name})) == expected


def test_a_perplexity_beyond_all_numbers_is_not_kept() -> None:
    assert kept_form(perplexity(perplexity=Measure(value=float("inf"))), None) is None


def client(gateway: FakeGateway) -> Client:
    return Client(URL, "qt-key", backoff=NO_WAIT, transport=gateway.transport)


@pytest.mark.parametrize(
    "subject",
    [Subject(endpoint="http://other", model="m"), SUBJECT.model_copy(update={"engine": None})],
    ids=["another server", "unknown engine"],
)
def test_what_is_no_checkpoint_of_ours_is_not_sent(subject: Subject) -> None:
    gateway = FakeGateway([])
    assert keep(client(gateway), perplexity(subject=subject)) is None
    assert gateway.requests == []


def test_a_checkpoint_s_result_is_sent() -> None:
    kept = kept_form(perplexity(), None)
    assert kept is not None
    gateway = FakeGateway([httpx.Response(201, json=kept.model_dump(mode="json"))])
    assert keep(client(gateway), perplexity()) == kept
    assert gateway.lines == ["POST /v1/checkpoints/c1/results"]


def test_a_function_with_code_of_its_own_says_nothing_of_its_checkpoint() -> None:
    handler = Handler(file="f.py", object="f", parameters={"type": "object", "properties": {}})
    with_code = version(handler=handler, source={"f.py": ""})
    gateway = FakeGateway([httpx.Response(200, json={"data": [with_code.model_dump(mode="json")]})])
    of_function = SUBJECT.model_copy(update={"function": "f:live", "version": "v1"})
    assert keep(client(gateway), perplexity(subject=of_function)) is None
    assert gateway.lines == ["GET /v1/functions/f/versions"]
