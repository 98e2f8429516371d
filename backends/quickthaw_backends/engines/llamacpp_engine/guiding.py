"""The vocabulary of a GGUF file as grammars need it: the bytes of each token."""

from __future__ import annotations

from typing import Any

from llguidance import LLTokenizer

from quickthaw_backends.engines.llamacpp_engine.model import LlamaModel
from quickthaw_backends.engines.structure.guides import Guides

_LONGEST_PIECE_BYTES = 16 << 10
_SPECIAL = b"\xff"
"""Comes before the bytes of a token that is not text, by llguidance's convention: no UTF-8 has it."""


def gguf_guides(model: LlamaModel, eos: frozenset[int]) -> Guides:
    """Make the guides of a model; `eos` are the tokens that end an answer."""
    address = int(model.ffi.cast("uintptr_t", model.ffi.addressof(model.library, "llama_tokenize")))
    tokenizer: LLTokenizer = LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]  # its stubs lack it
        tokens=_pieces(model),
        vocab_ptr=int(model.ffi.cast("uintptr_t", model.vocabulary)),
        tokenize_fptr=address,
        eos_token=sorted(eos),
    )
    return Guides(tokenizer, model.tokens)


def _pieces(model: LlamaModel) -> list[bytes]:
    """Return the bytes of each token; those that are no text when an answer is shown are marked."""
    buffer = model.ffi.new("char[]", _LONGEST_PIECE_BYTES)
    pieces = []
    for token in range(model.tokens):
        text = _piece(model, token, buffer, special=False)
        pieces.append(text or _SPECIAL + _piece(model, token, buffer, special=True))
    return pieces


def _piece(model: LlamaModel, token: int, buffer: Any, *, special: bool) -> bytes:
    count = model.library.llama_token_to_piece(model.vocabulary, token, buffer, _LONGEST_PIECE_BYTES, 0, special)
    return bytes(model.ffi.buffer(buffer, max(0, count)))
