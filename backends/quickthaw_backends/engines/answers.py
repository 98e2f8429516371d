"""What an engine makes its answers with: how it shows tokens, which of them end an answer, and its grammars."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from quickthaw.errors import InvalidRequest, NotServable
from quickthaw_backends.engines.answer import Answer
from quickthaw_backends.engines.constraint import check_constraint
from quickthaw_backends.engines.structure.guide import Guide
from quickthaw_backends.engines.structure.guides import Guides
from quickthaw_backends.engines.texts import Texts
from quickthaw_backends.engines.tool_forms import grammar
from quickthaw_platform.contracts import GenerationRequest


class Answers:
    """Begins answers. Any thread may ask."""

    def __init__(self, texts: Texts, eos: frozenset[int], vocabulary: int, guides: Callable[[], Guides]) -> None:
        """`eos` are the tokens that end an answer, `vocabulary` how many tokens the model scores.

        `guides` is called once, for the first answer that has a grammar, or by `prepare`.
        """
        self._texts = texts
        self.eos = eos
        self.vocabulary = vocabulary
        self._make_guides = guides

    def begin(self, request: GenerationRequest, limit: int) -> Answer:
        """Return the answer of a request, with the tokens that it has already; it may come to `limit` tokens.

        Compiles its grammar in this thread. Raises InvalidRequest naming the field where that cannot be done, and for
        a token that the vocabulary does not have; NotServable where no token ends an answer.
        """
        check_constraint(request.sampling, self.vocabulary)
        marks = {token: text for stop in request.sampling.stop for token, text in self._texts.marks_in(stop).items()}
        return Answer(request, self._texts.decode, self.eos, limit, self._guide(request), marks)

    def prepare(self) -> None:
        """Have ready what grammars need of the vocabulary; takes a tenth of a second."""
        if self.eos:
            self._guides  # noqa: B018 (reading it makes it, once)

    def _guide(self, request: GenerationRequest) -> Guide | None:
        wished = "tools" if request.sampling.structure is None else "structure"
        try:
            text = grammar(request.reading, request.sampling.structure)
            return None if text is None else self._compiled(text)
        except RecursionError as error:
            raise InvalidRequest(f"{wished}: a schema nests too deeply", param=wished) from error
        except InvalidRequest as error:
            if error.param != "structure" or wished == "structure":
                raise
            raise InvalidRequest(f"calls of the tools cannot be constrained: {error}", param=wished) from error

    def _compiled(self, text: str) -> Guide:
        if not self.eos:
            raise NotServable(
                "this model has no token that ends an answer, so none can be held to a structure", param="structure"
            )
        return self._guides.guide(text)

    @cached_property
    def _guides(self) -> Guides:
        return self._make_guides()
