"""One request in vLLM's hands: what vLLM is asked, and the deltas that come of what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vllm import SamplingParams
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind

from quickthaw.generation import Delta, TokenLogprob
from quickthaw_backends.engines.answer import Answer
from quickthaw_backends.engines.texts import Texts, shown_logprob
from quickthaw_backends.engines.vllm_engine.sampler import ANSWERED, CONSTRAINT, SAMPLING, is_plain
from quickthaw_platform.contracts import GenerationRequest, Sink


@dataclass(slots=True, eq=False)
class Stream:
    """A request with what has come of it; only the loop's thread changes it.

    vLLM only chooses tokens. Text, stop strings and the reason of the end come from `answer`, as in every engine: so
    they are the same in a resume, and after a move to another engine.
    """

    request: GenerationRequest
    sink: Sink
    answer: Answer
    limit: int  # of the answer's tokens
    texts: Texts
    on_held: Callable[[int], None] | None = None  # while it is held; see `contracts.Engine.hold`
    told: list[int] = field(default_factory=list)  # tokens of the answer that another engine chose
    cached: int | None = None  # tokens of the prompt that vLLM had not to compute
    opened: bool = False

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id

    @property
    def tokens(self) -> list[int]:
        """What is known: the prompt, and the answer as far as others chose it."""
        return [*self.request.tokens, *self.told]

    @property
    def held(self) -> bool:
        """Whether it chooses nothing yet."""
        return self.on_held is not None

    @property
    def echoes(self) -> bool:
        """Whether the prompt is still to be said."""
        return self.request.sampling.echo and not self.opened and not self._answered

    @property
    def scores_prompt(self) -> bool:
        """Whether the log-probabilities of the prompt's tokens are wanted."""
        return self.echoes and self.request.sampling.logprobs is not None

    @property
    def needs_steps(self) -> bool:
        """Whether vLLM has anything to compute: an empty answer without log-probabilities needs nothing."""
        return self.answer.finish_reason is None or self.scores_prompt

    @property
    def _answered(self) -> int:
        return self.request.generated + len(self.told)

    def extend(self, tokens: Sequence[int]) -> None:
        """Take tokens of the answer that another engine chose."""
        for token in tokens:
            self.told.append(token)
            self.answer.push(token)

    def warming(self) -> SamplingParams:
        """Return what makes vLLM read what is known and keep it in its prefix cache; its one token is thrown away."""
        return SamplingParams(max_tokens=1, temperature=0.0, detokenize=False, ignore_eos=True)

    def params(self) -> SamplingParams:
        """Return what vLLM is asked for."""
        sampling = self.request.sampling
        return SamplingParams(
            max_tokens=max(1, self.limit - self.answer.count),
            temperature=0.0,
            stop_token_ids=sorted(self.answer.constraint.ends),
            ignore_eos=True,  # the model's own are among those above
            logprobs=sampling.logprobs,
            prompt_logprobs=sampling.logprobs if self.scores_prompt else None,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            extra_args=self._drawing(),
            skip_clone=True,
        )

    def _drawing(self) -> dict[str, Any] | None:
        sampling, constraint = self.request.sampling, self.answer.constraint
        if is_plain(sampling) and not constraint.narrows:
            return None
        return {SAMPLING: sampling, ANSWERED: self._answered, CONSTRAINT: constraint}

    def absorb(self, output: RequestOutput) -> list[Delta]:
        """Turn what a step gave into deltas. Raises InvalidRequest where the answer's grammar could not be followed."""
        if self.answer.constraint.failure is not None:
            raise self.answer.constraint.failure
        self.note_cached(output)
        deltas = [self.opening(output.prompt_logprobs)] if self.echoes else []
        (chosen,) = output.outputs
        entries = chosen.logprobs or [None] * len(chosen.token_ids)
        for token, entry in zip(chosen.token_ids, entries, strict=True):
            if self.answer.finish_reason is None:
                deltas.append(self.answer.push(token, None if entry is None else self._logprob(token, entry)))
        return [self._counted(delta) for delta in deltas]

    def note_cached(self, output: RequestOutput) -> None:
        """Remember how much of the prompt the first pass over it found in the prefix cache."""
        if self.cached is None and output.num_cached_tokens is not None:
            self.cached = min(output.num_cached_tokens, len(self.request.tokens) - self.request.generated)

    def opening(self, scored: Sequence[Mapping[int, Any] | None] | None = None) -> Delta:
        """Return the delta before the first token: the echoed prompt, or the end of an empty answer."""
        if not self.echoes:
            return self.answer.opening()
        prompt, entries = self.request.tokens, scored or ()
        self.opened = True
        return self.answer.opening(
            self.texts.decode(prompt), [self._logprob(t, e) for t, e in zip(prompt, entries, strict=False)]
        )

    def _counted(self, delta: Delta) -> Delta:
        return delta if delta.prompt_tokens is None else replace(delta, cached_tokens=self.cached)

    def _logprob(self, token: int, entry: Mapping[int, Any] | None) -> TokenLogprob:
        """Return a token's log-probability and the likeliest ones; None: nothing scores a text's first token."""
        if entry is None:
            return shown_logprob(self.texts, token, None)
        wanted = self.request.sampling.logprobs or 0
        best = sorted(entry.items(), key=lambda item: (-item[1].logprob, item[0]))[:wanted]
        top = [(other, float(found.logprob)) for other, found in best]
        return shown_logprob(self.texts, token, float(entry[token].logprob), top)
