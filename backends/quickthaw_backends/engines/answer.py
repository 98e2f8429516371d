"""One answer as it grows: tokens in, deltas out, and when it ends. Pure; both engines use it."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw.errors import ContextLengthExceeded, InvalidRequest
from quickthaw.generation import Delta, FinishReason, TokenLogprob
from quickthaw_backends.engines.detokenizer import Decode, Detokenizer
from quickthaw_backends.engines.stopping import StopMatcher
from quickthaw_platform.contracts import GenerationRequest


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
        asked = "" if wanted is None else f" and max_tokens {wanted:,}"
        raise ContextLengthExceeded(
            f"the prompt has {prompt:,} tokens{asked}; together they must fit into {context_tokens:,}. "
            "Shorten the prompt or ask for fewer tokens.",
            param="max_tokens" if prompt < context_tokens and wanted else "prompt",
        )
    return context_tokens - prompt if wanted is None else wanted


class Answer:
    """Makes the deltas of one request and decides when it is finished.

    In a resume the earlier tokens are replayed, so that text which was held back then comes with the first new token.
    """

    def __init__(self, request: GenerationRequest, decode: Decode, eos: frozenset[int], limit: int) -> None:
        """`eos` are the tokens that end an answer; `limit` the most tokens it may have (see `answer_limit`)."""
        prompt = request.tokens[: len(request.tokens) - request.generated]
        self._choice = request.choice
        self._eos = frozenset() if request.sampling.ignore_eos else eos
        self._limit = limit
        self._prompt_tokens: int | None = None
        self.cached_tokens: int | None = None  # of the prompt, where its keys and values were there
        self._detokenizer = Detokenizer(decode, prompt)
        self._stops = StopMatcher(request.sampling.stop)
        self.count = 0
        self.finish_reason: FinishReason | None = "length" if limit == 0 else None
        for token in request.tokens[len(prompt) :]:
            self.push(token)
        self._prompt_tokens = len(prompt)

    def push(self, token: int, logprob: TokenLogprob | None = None) -> Delta:
        """Take the next token of the answer."""
        self.count += 1
        text = self._stops.push(self._detokenizer.push(token))
        if self._stops.stopped or token in self._eos:
            self.finish_reason = "stop"
        elif self.count >= self._limit:
            self.finish_reason = "length"
        if self.finish_reason and not self._stops.stopped:
            text += self._rest()
        return self._delta(text, (token,), () if logprob is None else (logprob,))

    def opening(self, text: str = "", logprobs: Sequence[TokenLogprob] = ()) -> Delta:
        """Return the delta that comes before the first token: the echo of the prompt, or the end of an empty answer."""
        return self._delta(text, (), tuple(logprobs))

    def _rest(self) -> str:
        """Return what is held back; a stop string that only now is complete still ends the text."""
        text = self._stops.push(self._detokenizer.flush())
        if self._stops.stopped:
            self.finish_reason = "stop"
            return text
        return text + self._stops.flush()

    def _delta(self, text: str, tokens: tuple[int, ...], logprobs: tuple[TokenLogprob, ...]) -> Delta:
        prompt_tokens, self._prompt_tokens = self._prompt_tokens, None
        cached_tokens = None if prompt_tokens is None else self.cached_tokens
        stop = None if self.finish_reason is None else self._stops.matched
        return Delta(
            text, tokens, self._choice, logprobs, self.finish_reason, prompt_tokens, cached_tokens, stop=stop
        )
