"""The vocabulary of a Hugging Face tokenizer as grammars need it: the bytes of each token."""

from __future__ import annotations

from functools import partial

from llguidance.hf import from_tokenizer
from transformers import PreTrainedTokenizerFast

from quickthaw.errors import NotServable
from quickthaw_backends.engines.answers import Answers
from quickthaw_backends.engines.structure.guides import Guides
from quickthaw_backends.engines.transformers_engine.tokenizer import HfTokenizer


def hf_answers(tokenizer: HfTokenizer, vocabulary: int, eos: frozenset[int]) -> Answers:
    """Return what answers are made with by a model that scores `vocabulary` tokens, of which `eos` end an answer."""
    return Answers(tokenizer.decode, eos, vocabulary, partial(hf_guides, tokenizer.fast, vocabulary, eos))


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
        return Guides(from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(eos)), vocabulary)
    except ValueError as error:
        raise NotServable(f"no grammar can read this model's tokens: {error}", param="structure") from error
