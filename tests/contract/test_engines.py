"""Every promise of `contracts.Engine`, over each engine."""

from __future__ import annotations

import math
import queue
import threading
from dataclasses import replace
from typing import Any

import pytest

from quickthaw.errors import ContextLengthExceeded, InvalidRequest, NotServable, Unavailable
from quickthaw_platform import plugins
from quickthaw_platform.contracts import Engine, Sleeps
from tests.contract.engines import MEMORY_BYTES, Kind, started
from tests.unit.engines import tiny
from tests.unit.engines.tiny import Collector, generate, request


def test_an_installed_engine_fulfils_the_protocol(engine: Engine) -> None:
    assert isinstance(engine, Engine)
    assert {"echo", "transformers"} <= set(plugins.names(plugins.ENGINES))


def test_prepare_reports_its_stages(kind: Kind) -> None:
    stages: list[tuple[str, float]] = []
    kind.make().prepare(kind.checkpoint("generate"), {}, lambda name, seconds: stages.append((name, seconds)))
    assert sorted(name for name, _ in stages) == ["skeleton", "tokenizer", "weights"]
    assert all(seconds >= 0 for _, seconds in stages)


def test_an_unknown_option_is_refused_with_the_known_ones(kind: Kind) -> None:
    with pytest.raises(InvalidRequest, match="context_tokens"):
        kind.make().check_options({"kontext": 1})


def test_a_wrong_value_of_an_option_is_refused(kind: Kind) -> None:
    with pytest.raises(InvalidRequest, match="context_tokens"):
        kind.make().check_options({"context_tokens": "many"})


def test_text_survives_the_tokenizer(engine: Engine) -> None:
    text = "Größe 3 €, 日本語 🙂"
    assert engine.tokenizer.decode(engine.tokenizer.encode(text)) == text


def test_chat_takes_parts_and_the_developer_role(engine: Engine) -> None:
    plain = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there"}]
    parts: list[dict[str, Any]] = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        {"role": "user", "content": "Hello there"},
    ]
    assert engine.tokenizer.chat(parts).tokens == engine.tokenizer.chat(plain).tokens


@pytest.mark.parametrize(
    "messages",
    [
        [],  # none
        [{"content": "x"}],  # no role
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],  # an image
        [{"role": "user", "content": 3}],  # neither text nor parts
    ],
)
def test_chat_refuses_what_it_cannot_read(engine: Engine, messages: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidRequest):
        engine.tokenizer.chat(messages)


def test_the_first_delta_counts_the_prompt_and_only_the_last_says_why_it_ended(
    engine: Engine, prompt: list[int]
) -> None:
    deltas = generate(engine, prompt, max_tokens=5, ignore_eos=True).deltas
    assert [delta.prompt_tokens for delta in deltas] == [len(prompt)] + [None] * (len(deltas) - 1)
    assert [delta.finish_reason for delta in deltas] == [None] * (len(deltas) - 1) + ["length"]
    assert sum(len(delta.tokens) for delta in deltas) == 5


def test_deltas_join_to_the_text_of_their_tokens(engine: Engine, prompt: list[int]) -> None:
    for seed in range(5):
        answer = generate(engine, prompt, seed=seed, max_tokens=60)
        assert answer.text == engine.tokenizer.decode(prompt + answer.tokens)[len(engine.tokenizer.decode(prompt)) :]


def test_the_same_seed_gives_the_same_tokens(engine: Engine, prompt: list[int]) -> None:
    assert generate(engine, prompt, seed=3).tokens == generate(engine, prompt, seed=3).tokens


def test_choice_is_copied_into_every_delta(engine: Engine, prompt: list[int]) -> None:
    collector = Collector()
    engine.submit(request(prompt, choice=2), collector)
    assert {delta.choice for delta in collector.wait().deltas} == {2}


def test_a_resumed_stream_equals_an_undisturbed_one_at_every_cut(engine: Engine, prompt: list[int]) -> None:
    whole = generate(engine, prompt, seed=5, max_tokens=20, ignore_eos=True, stop=["\x00\x01"])
    assert len(whole.tokens) > 10
    for cut in range(1, len(whole.tokens)):
        rest = generate(
            engine,
            prompt + whole.tokens[:cut],
            generated=cut,
            seed=5,
            max_tokens=20,
            ignore_eos=True,
            stop=["\x00\x01"],
        )
        assert rest.tokens == whole.tokens[cut:]
        assert "".join(map(str, whole.deltas[:cut])) + rest.text == whole.text
        assert rest.deltas[-1].finish_reason == whole.deltas[-1].finish_reason
        assert rest.deltas[0].prompt_tokens == len(prompt)


def test_a_held_stream_takes_in_what_another_chose_and_goes_on_as_if_undisturbed(
    engine: Engine, prompt: list[int]
) -> None:
    whole = generate(engine, prompt, seed=5, max_tokens=20, ignore_eos=True)
    for first, second in ((0, 0), (0, 3), (4, 5), (19, 19)):
        moved, held = Collector(), queue.SimpleQueue[int]()
        known = prompt + whole.tokens[:first]
        engine.hold(request(known, "moved", first, seed=5, max_tokens=20, ignore_eos=True), moved, on_held=held.put)
        assert held.get(timeout=30) == len(known)
        for token in whole.tokens[first:second]:
            engine.extend("moved", [token])
        while second > first and held.get(timeout=30) < len(prompt) + second:
            pass
        assert moved.deltas == []
        engine.release("moved")
        engine.release("moved")
        assert moved.wait().tokens == whole.tokens[second:]
        assert "".join(map(str, whole.deltas[:second])) + moved.text == whole.text
        assert engine.stats().running == 0


def test_a_stream_may_be_extended_and_released_at_once_or_cancelled_while_it_is_held(
    engine: Engine, prompt: list[int]
) -> None:
    whole = generate(engine, prompt, seed=5, max_tokens=20, ignore_eos=True)
    moved, left = Collector(), Collector()
    for name, collector in (("moved", moved), ("left", left)):
        engine.hold(
            request(prompt, name, seed=5, max_tokens=20, ignore_eos=True), collector, on_held=lambda _known: None
        )
    engine.cancel("left")
    engine.extend("moved", whole.tokens[:7])
    engine.release("moved")
    for ignored in ("unknown", "left", "moved"):
        engine.extend(ignored, [65])
        engine.release(ignored)
    assert moved.wait().tokens == whole.tokens[7:]
    assert left.deltas == []
    assert engine.stats().kv_bytes == 0


@pytest.mark.parametrize("waits", [False, True])
def test_a_held_stream_goes_on_from_what_it_was_told_and_not_from_what_it_would_have_said(
    engine: Engine, prompt: list[int], waits: bool
) -> None:
    wanted: dict[str, Any] = {"seed": 5, "max_tokens": 20, "ignore_eos": True, "logprobs": 2, "stop": ["\x00\x01"]}
    own = generate(engine, prompt, **wanted).tokens
    other = [*own[:3], *(66 if token != 66 else 67 for token in own[3:8])]
    expected = generate(engine, prompt + other, generated=len(other), **wanted)
    moved, held = Collector(), queue.SimpleQueue[int]()
    engine.hold(request(prompt, "moved", **wanted), moved, on_held=held.put)
    for told, token in enumerate(other, 1):
        while waits and held.get(timeout=30) < len(prompt) + told - 1:
            pass
        engine.extend("moved", [token])
    engine.release("moved")
    assert moved.wait().tokens == expected.tokens
    assert moved.text == expected.text


@pytest.mark.parametrize("echo", [False, True])
def test_a_held_stream_ends_where_the_undisturbed_one_does(engine: Engine, prompt: list[int], echo: bool) -> None:
    said = next(text for text in map(str, generate(engine, prompt, seed=5).deltas[1:]) if text)
    for wanted in ({"max_tokens": 2}, {"max_tokens": 0}, {"stop": [said]}):
        asked: dict[str, Any] = {"max_tokens": 6, "seed": 5, "echo": echo, "logprobs": 1, **wanted}
        expected = generate(engine, prompt, **asked)
        moved, held = Collector(), threading.Event()
        engine.hold(request(prompt, "ends", **asked), moved, on_held=lambda _known, held=held: held.set())  # type: ignore[misc]
        assert held.wait(30)
        assert moved.deltas == []
        engine.release("ends")
        assert moved.wait().tokens == expected.tokens
        assert (moved.text, moved.deltas[-1].finish_reason) == (expected.text, expected.deltas[-1].finish_reason)
        assert [len(delta.logprobs) for delta in moved.deltas] == [len(delta.logprobs) for delta in expected.deltas]
    assert engine.stats().kv_bytes == 0


def test_a_held_stream_of_one_token_and_one_without_an_answer_go_on_too(engine: Engine) -> None:
    for max_tokens in (3, 0):
        moved = Collector()
        engine.hold(request([65], "short", max_tokens=max_tokens, ignore_eos=True), moved, on_held=lambda _known: None)
        engine.release("short")
        assert len(moved.wait().tokens) == max_tokens


def test_a_stream_does_not_depend_on_what_runs_beside_it(engine: Engine, prompt: list[int]) -> None:
    prompts = [prompt[: 3 + 2 * index] for index in range(12)]
    alone = [generate(engine, tokens, seed=index, max_tokens=16).tokens for index, tokens in enumerate(prompts)]
    together = [Collector() for _ in prompts]
    for index, (tokens, collector) in enumerate(zip(prompts, together, strict=True)):
        engine.submit(request(tokens, f"r{index}", seed=index, max_tokens=16), collector)
    assert [collector.wait().tokens for collector in together] == alone


def test_a_stop_string_ends_the_text_before_it(engine: Engine, prompt: list[int]) -> None:
    whole = generate(engine, prompt, seed=2, max_tokens=40, ignore_eos=True)
    stop = whole.text[7:10]
    stopped = generate(engine, prompt, seed=2, max_tokens=40, ignore_eos=True, stop=[stop, "never said at all"])
    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert stopped.deltas[-1].finish_reason == "stop"
    assert stopped.tokens == whole.tokens[: len(stopped.tokens)]
    assert len(stopped.tokens) < len(whole.tokens)


def test_logprobs_are_of_the_chosen_tokens_and_the_likeliest(engine: Engine, prompt: list[int]) -> None:
    answer = generate(engine, prompt, max_tokens=8, logprobs=1, temperature=0, ignore_eos=True)
    entries = [entry for delta in answer.deltas for entry in delta.logprobs]
    assert [entry.token for entry in entries] == answer.tokens
    for entry in entries:
        assert entry.logprob is not None
        assert entry.logprob <= 0
        assert entry.top == ((entry.text, entry.logprob),)  # greedy: the chosen one is the likeliest


def test_without_logprobs_there_are_none(engine: Engine, prompt: list[int]) -> None:
    assert not any(delta.logprobs for delta in generate(engine, prompt).deltas)


def test_echo_says_the_prompt_first(engine: Engine, prompt: list[int]) -> None:
    plain = generate(engine, prompt, max_tokens=4)
    echoed = generate(engine, prompt, max_tokens=4, echo=True)
    assert echoed.deltas[0].text == engine.tokenizer.decode(prompt)
    assert echoed.deltas[0].tokens == ()
    assert echoed.deltas[0].prompt_tokens == len(prompt)
    assert echoed.text == engine.tokenizer.decode(prompt) + plain.text
    assert echoed.tokens == plain.tokens


def test_echo_with_logprobs_and_no_tokens_scores_the_prompt(engine: Engine, prompt: list[int]) -> None:
    answer = generate(engine, prompt, max_tokens=0, echo=True, logprobs=0)
    (delta,) = answer.deltas
    assert delta.finish_reason == "length"
    assert [entry.token for entry in delta.logprobs] == prompt
    assert delta.logprobs[0].logprob is None
    assert all(entry.logprob is not None and math.isfinite(entry.logprob) for entry in delta.logprobs[1:])


def test_no_tokens_and_no_echo_ends_at_once(engine: Engine, prompt: list[int]) -> None:
    (delta,) = generate(engine, prompt, max_tokens=0).deltas
    assert (delta.text, delta.tokens, delta.finish_reason, delta.prompt_tokens) == ("", (), "length", len(prompt))


@pytest.mark.parametrize(
    ("prompt_tokens", "max_tokens"),
    [
        (tiny.CONTEXT_TOKENS, None),  # no room for one token
        (tiny.CONTEXT_TOKENS + 1, 0),  # the prompt alone is too long
        (10, tiny.CONTEXT_TOKENS - 9),  # the answer may come to be too long
    ],
)
def test_what_cannot_fit_is_refused_at_submit(engine: Engine, prompt_tokens: int, max_tokens: int | None) -> None:
    with pytest.raises(ContextLengthExceeded):
        engine.submit(request([65] * prompt_tokens, max_tokens=max_tokens), Collector())


def test_without_max_tokens_the_context_is_the_limit(engine: Engine) -> None:
    prompt = [65] * (engine.context_tokens - 5)
    answer = generate(engine, prompt, max_tokens=None, ignore_eos=True)
    assert len(answer.tokens) == 5
    assert answer.deltas[-1].finish_reason == "length"


def test_an_empty_prompt_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidRequest):
        engine.submit(request([]), Collector())


def test_a_cancelled_stream_stops_and_the_others_go_on(kind: Kind) -> None:
    engine = started(kind, **kind.slow)
    try:
        stays, leaves = Collector(), Collector()
        engine.submit(request([65] * 8, "leaves", max_tokens=240, ignore_eos=True), leaves)
        leaves.wait(deltas=2)
        engine.cancel("leaves")
        engine.cancel("unknown")
        engine.submit(request([65] * 8, "stays", max_tokens=3, ignore_eos=True), stays)
        assert len(stays.wait().tokens) == 3
        assert len(leaves.tokens) < 240
        assert engine.stats().running == 0
        assert engine.stats().kv_bytes == 0
    finally:
        engine.close()


def test_close_fails_what_still_runs_and_refuses_what_comes(kind: Kind) -> None:
    engine = started(kind, **kind.slow)
    collector = Collector()
    engine.submit(request([65] * 8, max_tokens=240, ignore_eos=True), collector)
    collector.wait(deltas=1)
    engine.close()
    engine.close()
    with pytest.raises(Unavailable):
        collector.wait()
    with pytest.raises(Unavailable):
        engine.submit(request([65]), Collector())


@pytest.mark.parametrize("task", ["generate", "embed"])
def test_an_engine_that_sleeps_computes_the_same_after_it_has_woken(kind: Kind, task: str) -> None:
    if kind.sleeping is None:
        engine = started(kind, task)
        assert not isinstance(engine, Sleeps)
        engine.close()
        return
    engine = started(kind, task, **kind.sleeping)
    try:
        assert isinstance(engine, Sleeps)
        assert engine.can_sleep
        outcomes: list[object] = []
        for _ in range(3):
            if task == "embed":
                outcomes.append(engine.embed([[65, 66, 67]]))
            else:
                outcomes.append(generate(engine, list(range(65, 90)), max_tokens=9, ignore_eos=True).tokens)
                assert engine.stats().running == 0
            engine.sleep()
            engine.wake()
        assert outcomes[1:] == outcomes[:-1]
    finally:
        engine.close()


def test_stats_count_tokens_and_bounds(kind: Kind) -> None:
    engine = started(kind)
    try:
        generate(engine, [65, 66, 67], max_tokens=4, ignore_eos=True)
        stats = engine.stats()
        assert (stats.prompt_tokens_total, stats.generated_tokens_total) == (3, 4)
        assert (stats.running, stats.waiting) == (0, 0)
        assert 0 < stats.kv_bytes_limit <= MEMORY_BYTES
        assert stats.context_tokens == engine.context_tokens
    finally:
        engine.close()


def test_an_embedding_checkpoint_embeds_and_does_not_generate(kind: Kind) -> None:
    engine = started(kind, "embed")
    try:
        batch = [[65, 66, 67], [70], list(range(60, 100))]
        vectors = engine.embed(batch)
        assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1, 1, 1])
        assert vectors[1] == pytest.approx(engine.embed([batch[1]])[0], abs=1e-2)
        with pytest.raises(NotServable):
            engine.submit(request([65]), Collector())
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ([65] * (tiny.CONTEXT_TOKENS + 1), ContextLengthExceeded),  # more than the model sees
        ([], InvalidRequest),
        ([65, 1 << 20], InvalidRequest),  # of another tokenizer
    ],
)
def test_what_cannot_be_embedded_is_named_by_its_place_and_the_engine_goes_on(
    kind: Kind, wrong: list[int], error: type[InvalidRequest]
) -> None:
    engine = started(kind, "embed")
    try:
        with pytest.raises(error, match=r"^input\[2\] ") as raised:
            engine.embed([[65], [66], wrong, [67]])
        assert raised.value.param == "input[2]"
        with pytest.raises(error, match=r"^input ") as raised:
            engine.embed([wrong])
        assert raised.value.param == "input"
        assert len(engine.embed([[65], [66]])) == 2
    finally:
        engine.close()


def test_a_generating_checkpoint_does_not_embed(engine: Engine) -> None:
    with pytest.raises(NotServable):
        engine.embed([[65]])


def test_a_failing_sink_harms_nobody_else(engine: Engine, prompt: list[int]) -> None:
    def broken(_outcome: object) -> None:
        raise RuntimeError("the sink is broken")

    engine.submit(replace(request(prompt, "broken"), id="broken"), broken)
    assert generate(engine, prompt, "fine", max_tokens=4, ignore_eos=True).tokens


def test_the_id_of_a_stream_is_free_when_its_last_word_is_heard(engine: Engine, prompt: list[int]) -> None:
    ended: queue.SimpleQueue[object] = queue.SimpleQueue()
    left = iter(range(5))

    def again(outcome: Any) -> None:
        if outcome.finish_reason is None:
            return
        if next(left, None) is None:
            ended.put(None)
            return
        try:
            engine.submit(request(prompt, "one", max_tokens=2, ignore_eos=True), again)
        except InvalidRequest as error:
            ended.put(error)

    engine.submit(request(prompt, "one", max_tokens=2, ignore_eos=True), again)
    assert ended.get(timeout=60) is None


def test_a_hundred_streams_join_and_leave_and_each_is_what_it_is_alone(engine: Engine, prompt: list[int]) -> None:
    alone = [generate(engine, prompt[: 4 + n % 9], seed=n, max_tokens=1 + n % 7).tokens for n in range(20)]
    streams = [Collector() for _ in range(100)]
    for number, stream in enumerate(streams):
        n = number % 20
        engine.submit(request(prompt[: 4 + n % 9], f"s{number}", seed=n, max_tokens=1 + n % 7), stream)
        if number % 10 == 3:
            engine.cancel(f"s{number}")
    for number, stream in enumerate(streams):
        if number % 10 != 3:
            assert stream.wait().tokens == alone[number % 20]
    assert (engine.stats().running, engine.stats().waiting, engine.stats().kv_bytes) == (0, 0, 0)


def test_what_an_earlier_prompt_began_with_is_not_computed_again_and_changes_no_token(engine: Engine) -> None:
    beginning = engine.tokenizer.encode("You are a helpful assistant that answers in one short sentence. ")
    for question in ("Who?", "Where?", "When was it, and why?"):
        tokens = beginning + engine.tokenizer.encode(question)
        first = generate(engine, tokens, seed=4, max_tokens=8, ignore_eos=True)
        again = generate(engine, tokens, seed=4, max_tokens=8, ignore_eos=True)
        assert again.tokens == first.tokens
        cached = again.deltas[0].cached_tokens
        assert cached is None or 0 <= cached < len(tokens)


def test_answers_that_repeat_themselves_are_the_same_with_any_room_for_guesses(engine: Engine) -> None:
    tokens = engine.tokenizer.encode("one two three one two three one two three one two")
    whole = generate(engine, tokens, seed=1, max_tokens=40, ignore_eos=True, temperature=0).tokens
    pieces: list[int] = []
    while len(pieces) < 40:
        known = tokens + pieces
        pieces += generate(
            engine, known, generated=len(pieces), seed=1, max_tokens=len(pieces) + 1, ignore_eos=True, temperature=0
        ).tokens
    assert pieces == whole
