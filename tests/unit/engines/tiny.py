"""Tiny random models with a byte-level tokenizer, imported as checkpoints: real code paths in milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from quickthaw.errors import QuickthawError
from quickthaw.generation import Delta, Sampling
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint, Engine, GenerationRequest

CONTEXT_TOKENS = 256
_TEMPLATE = (
    "{% for message in messages %}<|begin|>{{ message['role'] }}\n{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
)
_SPECIAL = ["<|begin|>", "<|end|>"]
_SIZE: dict[str, Any] = {
    "vocab_size": 258,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_TOKENS,
    "eos_token_id": 257,
    "bos_token_id": 256,
    "initializer_range": 0.3,
}


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and two marks."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate(alphabet)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(_SPECIAL)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", chat_template=_TEMPLATE)


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**_SIZE, tie_word_embeddings=True))


def wide_llama() -> PreTrainedModel:
    """With heads of 32, the smallest that vLLM computes on a CPU."""
    return LlamaForCausalLM(LlamaConfig(**_SIZE, head_dim=32, tie_word_embeddings=True))


def qwen2() -> PreTrainedModel:
    return Qwen2ForCausalLM(Qwen2Config(**_SIZE))


def mistral() -> PreTrainedModel:
    """With a sliding window shorter than the tests' prompts."""
    return MistralForCausalLM(MistralConfig(**_SIZE, sliding_window=8))


def gpt2() -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=258, n_embd=64, n_layer=2, n_head=4, n_positions=CONTEXT_TOKENS, eos_token_id=257, bos_token_id=256
    )
    return GPT2LMHeadModel(config)


def bert(heads: int = 4) -> PreTrainedModel:
    return BertModel(
        BertConfig(
            vocab_size=258,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=heads,
            max_position_embeddings=CONTEXT_TOKENS,
        )
    )


def wide_bert() -> PreTrainedModel:
    """With heads of 32, like `wide_llama`."""
    return bert(heads=2)


ARCHITECTURES = {
    "llama": llama,
    "wide_llama": wide_llama,
    "qwen2": qwen2,
    "mistral": mistral,
    "gpt2": gpt2,
    "bert": bert,
    "wide_bert": wide_bert,
}


def checkpoint(folder: Path, architecture: str = "llama", dtype: str = "float32") -> Checkpoint:
    """Make a random model of an architecture (always the same) and import it."""
    source = folder / f"source-{architecture}"
    if not source.exists():
        with torch.random.fork_rng():
            torch.manual_seed(7)
            ARCHITECTURES[architecture]().save_pretrained(source)
        tokenizer().save_pretrained(source)
    store = DiskStore(folder / "checkpoints")
    return import_checkpoint(str(source), store, name=f"tiny-{architecture}-{dtype}", dtype=dtype).checkpoint


class Collector:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self.error: QuickthawError | None = None
        self._changed = threading.Condition()

    def __call__(self, outcome: Delta | QuickthawError) -> None:
        with self._changed:
            if isinstance(outcome, QuickthawError):
                self.error = outcome
            else:
                self.deltas.append(outcome)
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        return self.error is not None or bool(self.deltas and self.deltas[-1].finish_reason)

    @property
    def text(self) -> str:
        return "".join(map(str, self.deltas))

    @property
    def tokens(self) -> list[int]:
        return [token for delta in self.deltas for token in delta.tokens]

    def wait(self, deltas: int | None = None, seconds: float = 60.0) -> Collector:
        """Wait until it ended, or until there are so many deltas; raise the error if there is one."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: self.ended or (deltas is not None and len(self.deltas) >= deltas), seconds
            )
            assert done, f"nothing more than {len(self.deltas)} deltas in {seconds} s"
        if self.error is not None:
            raise self.error
        return self


def request(
    tokens: Sequence[int], name: str = "r", generated: int = 0, choice: int = 0, **fields: Any
) -> GenerationRequest:
    sampling = Sampling.model_validate({"seed": 1, "max_tokens": 24, **fields})
    return GenerationRequest(name, tuple(tokens), sampling, generated, choice)


def generate(engine: Engine, tokens: Sequence[int], name: str = "r", generated: int = 0, **fields: Any) -> Collector:
    """Run one request to its end."""
    collector = Collector()
    engine.submit(request(tokens, name, generated, **fields), collector)
    return collector.wait()
