"""One request in the batch loop's hands: what is known, what is computed, and the deltas that come of it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field, replace
from typing import Any

from quickthaw.generation import Delta, TokenLogprob
from quickthaw_backends.engines.answer import Answer, answer_limit
from quickthaw_backends.engines.answers import Answers
from quickthaw_backends.engines.batching.prefixes import Prefix
from quickthaw_backends.engines.batching.runner import Scores
from quickthaw_backends.engines.batching.sampling import choose, token_logprob
from quickthaw_backends.engines.batching.scheduler import View
from quickthaw_backends.engines.batching.speculation import FORCED_CHANCE, MOST_FORCED_TOKENS, Guess, Guesser
from quickthaw_backends.engines.texts import Texts, shown_logprob
from quickthaw_platform.contracts import GenerationRequest, Sink


@dataclass(slots=True, eq=False)
class Sequence:
    """A request with what has come of it; only the loop's thread changes it."""

    request: GenerationRequest
    sink: Sink
    answer: Answer
    limit: int  # prompt and answer together
    prompt: list[int]
    generated: list[int]
    cache: Any = None  # from when it is admitted
    computed: int = 0  # tokens in the cache
    reserved: int = 0  # room in the cache
    prompt_logprobs: list[TokenLogprob] = field(default_factory=list)
    on_held: Callable[[int], None] | None = None  # while it is held; see `contracts.Engine.hold`
    told: int = 0  # what `on_held` last heard
    shared: int = 0  # tokens at the beginning of the cache whose memory is that of `prefix`, or of what is offered
    prefix: Prefix | None = None
    offer: tuple[Prefix, int] | None = None  # while it waits: what is kept of its beginning
    guess: tuple[int, ...] = ()  # computed with the next step's token; see `speculation`
    guesser: Guesser = field(default_factory=Guesser)

    @classmethod
    def of(
        cls,
        request: GenerationRequest,
        sink: Sink,
        on_held: Callable[[int], None] | None,
        *,
        answers: Answers,
        context_tokens: int,
    ) -> Sequence:
        """Make one of a request; raises what `answer_limit` and `Answers.begin` raise. Compiles its grammar."""
        limit = answer_limit(request, context_tokens)
        prompt = len(request.tokens) - request.generated
        return cls(
            request=request,
            sink=sink,
            answer=answers.begin(request, limit),
            limit=prompt + limit,
            prompt=list(request.tokens[:prompt]),
            generated=list(request.tokens[prompt:]),
            on_held=on_held,
        )

    @property
    def known(self) -> int:
        """Tokens of prompt and answer so far."""
        return len(self.prompt) + len(self.generated)

    @property
    def held(self) -> bool:
        """Whether it computes what is known and chooses nothing."""
        return self.on_held is not None

    @property
    def idle(self) -> bool:
        """Whether it is held and there is nothing to compute."""
        return self.held and self.view().pending == 0

    @property
    def finished(self) -> bool:
        """Whether its last delta has been made."""
        return self.answer.finish_reason is not None

    @property
    def echoes(self) -> bool:
        """Whether the prompt is still to be said."""
        return self.request.sampling.echo and not self.generated

    @property
    def scores_prompt(self) -> bool:
        """Whether the log-probabilities of the prompt's tokens are wanted."""
        return self.echoes and self.request.sampling.logprobs is not None

    @property
    def needs_steps(self) -> bool:
        """Whether there is anything to compute: an empty answer without log-probabilities needs nothing."""
        return self.held or not self.finished or self.scores_prompt

    def view(self) -> View:
        """Return what the scheduler needs to know. Of a held one the last token waits: its scores choose the next."""
        computed = self.offer[1] if self.offer else self.computed
        return View(self.request.id, self.known - self.held, computed, self.reserved, self.limit, self.shared)

    def likely(self, most: int) -> Guess:
        """Guess at most so many tokens after its newest one, as far as room and limit go.

        Where its grammar leaves only one text, that is the guess; any other guess is cut to what the grammar allows.
        """
        room = min(self.reserved, self.limit - 1, self.known + most) - self.known
        guide = self.answer.constraint.guide
        if self.held or room <= 0:
            return Guess()
        if guide is not None and (forced := guide.forced()[: min(room, MOST_FORCED_TOKENS)]):
            return Guess(tuple(forced), FORCED_CHANCE)
        guess = self.guesser.guess([*self.prompt, *self.generated], room)
        if guide is None or not guess.tokens:
            return guess
        return replace(guess, tokens=guess.tokens[: guide.fitting(guess.tokens)])

    def extend(self, tokens: Tokens[int]) -> None:
        """Take tokens of the answer that another engine chose."""
        for token in tokens:
            self.generated.append(token)
            self.answer.push(token)

    def report(self) -> None:
        """Say that it is caught up, if that is news."""
        if self.on_held is not None and self.idle and self.told != self.known:
            self.told = self.known
            self.on_held(self.known)

    def tokens(self, begin: int, count: int) -> list[int]:
        """Return `count` tokens from position `begin` on."""
        if begin >= len(self.prompt):
            return self.generated[begin - len(self.prompt) :][:count]
        return [*self.prompt[begin:], *self.generated][:count]

    def absorb(self, count: int, scores: Scores, texts: Texts) -> list[Delta]:
        """Take the scores after `count` more known tokens and after those guessed; return the deltas they give."""
        past, self.computed = self.computed, self.computed + count
        if self.scores_prompt:
            self._score_prompt(past, scores, texts)
        if self.computed < self.known:
            return []
        deltas = [self.opening(texts)] if self.echoes else []
        if not self.finished:
            deltas += self._choose(scores[len(scores) - 1 - len(self.guess) :], texts)
        return deltas

    def _choose(self, scores: Scores, texts: Texts) -> list[Delta]:
        """Choose the next token, and one more for each guess that was the token chosen."""
        guess, self.guess = self.guess, ()
        deltas = [self._next(scores[0], texts)]
        for token, row in zip(guess, scores[1:], strict=True):
            if self.finished or self.generated[-1] != token:
                break
            self.computed += 1
            deltas.append(self._next(row, texts))
        return deltas

    def opening(self, texts: Texts) -> Delta:
        """Return the delta before the first token: the echoed prompt, or the end of an empty answer."""
        if not self.echoes:
            return self.answer.opening()
        return self.answer.opening(texts.decode(self.prompt), self.prompt_logprobs)

    def _next(self, scores: Scores, texts: Texts) -> Delta:
        sampling = self.request.sampling
        constrained = self.answer.constraint.apply(scores, self.answer.count)
        token = choose(constrained, sampling, self.known, self.prompt, self.generated)
        entry = None if sampling.logprobs is None else token_logprob(scores, token, sampling.logprobs, texts)
        self.generated.append(token)
        return self.answer.push(token, entry)

    def _score_prompt(self, past: int, scores: Scores, texts: Texts) -> None:
        """Record how likely the prompt's tokens are: each row scores the token after it; nothing scores the first."""
        entries, wanted = self.prompt_logprobs, self.request.sampling.logprobs or 0
        if not entries:
            entries.append(shown_logprob(texts, self.prompt[0], None))
        for position, row in enumerate(scores, past + 1):
            if position == len(entries) < len(self.prompt):  # a row computed again after a preemption adds nothing
                entries.append(token_logprob(row, self.prompt[position], wanted, texts))
