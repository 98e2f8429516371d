"""The vocabulary of a Hugging Face tokenizer as grammars need it: the bytes of each token."""

from __future__ import annotations

from functools import partial

from llguidance import LLTokenizer, TokenizerWrapper
from llguidance.hf import from_tokenizer
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from quickthaw.errors import NotServable
from quickthaw_backends.engines.answers import Answers
from quickthaw_backends.engines.structure.guides import Guides
from quickthaw_backends.engines.transformers_engine.tokenizer import HfTokenizer, panics_refused


def hf_answers(tokenizer: HfTokenizer, vocabulary: int, eos: frozenset[int]) -> Answers:
    """Return what answers are made with by a model that scores `vocabulary` tokens, of which `eos` end an answer."""
    return Answers(tokenizer, eos, vocabulary, partial(hf_guides, tokenizer.fast, vocabulary, eos))


def hf_guides(tokenizer: object, vocabulary: int, eos: frozenset[int]) -> Guides:
    """Make the guides of a model that scores `vocabulary` tokens, of which `eos` end an answer.

    Raises NotServable for a tokenizer whose tokens have no bytes that could be known.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise NotServable(
            f"answers cannot be held to a structure with a tokenizer of the kind {type(tokenizer).__name__}; "
            "it needs a tokenizer.json",
            param="structure",
        )
    try:
        known = from_tokenizer(tokenizer, slices=[])
    except ValueError as error:
        raise NotServable(f"no grammar can read this model's tokens: {error}", param="structure") from error
    return Guides(LLTokenizer(TokenizerWrapper(_Tokens(tokenizer, known)), vocabulary, sorted(eos)), vocabulary)


class _Tokens:
    """The vocabulary as llguidance's `TokenizerWrapper` asks for it: tokens that an answer shows are text.

    llguidance's own reading takes all added tokens that look like <this> for special ones, and allows these nowhere
    within free text, though marks of calls are often such tokens; and where a text spells a special token it would
    have that one written instead.
    """

    bos_token_id = None

    def __init__(self, tokenizer: PreTrainedTokenizerFast, known: LLTokenizer) -> None:
        """`known` has the bytes of each token."""
        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.no_padding()
        self._backend.no_truncation()
        self._backend.encode_special_tokens = True  # as text
        added = tokenizer.added_tokens_decoder
        self.special_token_ids = [token for token, found in added.items() if found.special]
        self.tokens = [known.decode_bytes([token]) for token in range(len(tokenizer))]
        self.eos_token_id = known.eos_token

    def __call__(self, text: str) -> list[int]:
        with panics_refused():
            tokens: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return tokens
