"""One answer as it grows: tokens in, deltas out, and when it ends. Pure; every engine uses it."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from functools import partial

from quickthaw.errors import ContextLengthExceeded, InvalidRequest
from quickthaw.generation import Delta, FinishReason, TokenLogprob
from quickthaw_backends.engines.constraint import Constraint
from quickthaw_backends.engines.detokenizer import Decode, Detokenizer
from quickthaw_backends.engines.marks import GAP, showing, signs
from quickthaw_backends.engines.stopping import StopMatcher
from quickthaw_backends.engines.structure.guide import Guide
from quickthaw_backends.engines.texts import beginning
from quickthaw_backends.engines.tool_forms import Piece, Reader, reader, short_ids
from quickthaw_platform.contracts import GenerationRequest

CONTEXT_BOUNDS = (
    "The context is the least of what the model was made for, what the function's memory holds (`memory`), and the "
    "engine's option `context_tokens`."
)
_LETTERS = string.digits + string.ascii_letters
_ID_LETTERS = 9


def answer_limit(request: GenerationRequest, context_tokens: int) -> int:
    """Return how many tokens the answer may have at most, those before an interruption included.

    Raises InvalidRequest for an empty prompt, ContextLengthExceeded where prompt and answer cannot fit.
    """
    prompt = len(request.tokens) - request.generated
    if prompt < 1:
        raise InvalidRequest("the prompt is empty; it needs at least one token", param="prompt")
    wanted = request.sampling.max_tokens
    needed = prompt + (1 if wanted is None else wanted)
    if needed > context_tokens:
        asked = "" if wanted is None else f" and {wanted} for the answer (max_tokens)"
        raise ContextLengthExceeded(
            # The first words, and numbers without commas, are how clients know this error.
            f"This model's maximum context length is {context_tokens} tokens, for prompt and answer together; you "
            f"asked for {needed}: {prompt} in the prompt{asked}. Shorten the prompt or ask for fewer tokens. "
            f"{CONTEXT_BOUNDS}",
            param="max_tokens" if prompt < context_tokens and wanted else "prompt",
        )
    return context_tokens - prompt if wanted is None else wanted


class Answer:
    """Makes the deltas of one request and decides when it is finished.

    Its text passes the stop strings and then the reader, which takes it apart. In a resume the earlier tokens are
    replayed, so that text which was held back then comes with the first new token.
    """

    def __init__(
        self,
        request: GenerationRequest,
        decode: Decode,
        eos: frozenset[int],
        limit: int,
        guide: Guide | None = None,
        marks: Mapping[int, str] | None = None,
    ) -> None:
        """`eos` are the tokens that end an answer; `limit` the most tokens it may have (see `answer_limit`).

        `guide` stands at the beginning of the answer, which follows it; None: nothing constrains it. `marks` are the
        special tokens whose texts stand in the stop strings, with these texts.
        """
        prompt = request.tokens[: len(request.tokens) - request.generated]
        sampling = request.sampling
        shown = _marks(request)
        self._signs = signs(marks or {}, shown)
        stops = [token for token, sign in self._signs.items() if sign.text in sampling.stop]
        self.constraint = Constraint(sampling, eos, guide, stops)
        self._choice = request.choice
        self._limit = limit
        self._prompt_tokens: int | None = None
        self.cached_tokens: int | None = None  # of the prompt, where its keys and values were there
        shown = {token: text for token, text in shown.items() if token not in self._signs}
        self._detokenizer = Detokenizer(showing(decode, shown), prompt)
        self._includes_stop = sampling.include_stop
        self._stops = StopMatcher(sampling.stop, include=sampling.include_stop, signs=[*self._signs.values()])
        self._reader = _reader(request, prompt)
        self._called = False
        self._after_text = False  # whether the last token was none that has a sign
        self.count = 0
        self.finish_reason: FinishReason | None = "length" if limit == 0 else None
        for token in request.tokens[len(prompt) :]:
            self.push(token)
        self._prompt_tokens = len(prompt)

    def push(self, token: int, logprob: TokenLogprob | None = None) -> Delta:
        """Take the next token of the answer."""
        self.count += 1
        text = self._text_of(token)
        if self._stops.stopped:
            self.finish_reason = "stop"
        elif self.count >= self._limit:
            self.finish_reason = self.finish_reason or "length"
        if self.finish_reason and not self._stops.stopped:
            text += self._rest()
        return self._delta(self._read(text), (token,), () if logprob is None else (logprob,))

    def opening(self, text: str = "", logprobs: Sequence[TokenLogprob] = ()) -> Delta:
        """Return the delta that comes before the first token: the echo of the prompt, or the end of an empty answer."""
        return self._delta(Piece(text), (), beginning(text, logprobs))

    def _text_of(self, token: int) -> str:
        """Take a token; return the text that is certain with it. One that ends the answer has none by default."""
        ends = self.constraint.ends_with(token, self.count)
        if ends or self.constraint.advance(token):
            self.finish_reason = "stop"
        text = "" if ends and not self._includes_stop else self._detokenizer.push(token)
        if token in self._signs:
            apart = self._after_text and self._detokenizer.holds_text
            text += (self._detokenizer.flush() if ends else GAP * apart) + self._signs[token].character
        self._after_text = token not in self._signs
        return self._stops.push(text, may_stop=self._may_stop)

    @property
    def _may_stop(self) -> bool:
        return self.count > self.constraint.least

    def _rest(self) -> str:
        """Return what is held back; a stop string that only now is complete still ends the text."""
        text = self._stops.push(self._detokenizer.flush(), may_stop=self._may_stop)
        if self._stops.stopped:
            self.finish_reason = "stop"
            return text
        return text + self._stops.flush()

    def _read(self, text: str) -> Piece:
        """Take the text apart; an answer that ends by itself after calls ends because of them."""
        if self._reader is None:
            return Piece(text)
        piece = self._reader.push(text)
        if self.finish_reason:
            rest = self._reader.flush()
            piece = Piece(piece.text + rest.text, piece.reasoning + rest.reasoning, piece.tool_calls + rest.tool_calls)
        self._called = self._called or bool(piece.tool_calls)
        if self._called and self.finish_reason == "stop":
            self.finish_reason = "tool_calls"
        return piece

    def _delta(self, piece: Piece, tokens: tuple[int, ...], logprobs: tuple[TokenLogprob, ...]) -> Delta:
        prompt_tokens, self._prompt_tokens = self._prompt_tokens, None
        return Delta(
            piece.text,
            tokens,
            self._choice,
            logprobs,
            self.finish_reason,
            prompt_tokens,
            cached_tokens=None if prompt_tokens is None else self.cached_tokens,
            reasoning=piece.reasoning,
            tool_calls=piece.tool_calls,
            stop=None if self.finish_reason is None else self._stops.matched,
        )


def _marks(request: GenerationRequest) -> dict[int, str]:
    """Return the special tokens that the reader has to see."""
    return {} if request.reading is None else {token: text for text, token in request.reading.specials.items()}


def _reader(request: GenerationRequest, prompt: Sequence[int]) -> Reader | None:
    if request.reading is None:
        return None
    return reader(request.reading, partial(_call_id, request, prompt))


def _call_id(request: GenerationRequest, prompt: Sequence[int], index: int) -> str:
    """Return the id of a call: the same in a resume, and another one for any other prompt, seed, choice and place."""
    told = repr((request.sampling.seed, request.choice, index, list(prompt))).encode()
    number = int.from_bytes(hashlib.blake2b(told, digest_size=8).digest())
    digits = ""
    for _ in range(_ID_LETTERS):
        number, digit = divmod(number, len(_LETTERS))
        digits += _LETTERS[digit]
    return digits if request.reading is not None and short_ids(request.reading) else f"call_{digits}"
