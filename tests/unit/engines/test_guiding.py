"""Vocabularies of Hugging Face tokenizers as grammars see them."""

from __future__ import annotations

import numpy as np
import pytest

from quickthaw.errors import NotServable
from quickthaw.generation import Structure
from quickthaw_backends.engines.structure.grammar import structure_grammar
from quickthaw_backends.engines.transformers_engine.guiding import hf_guides
from tests.unit.engines import tiny

EOS = frozenset({257})
FREE = structure_grammar(Structure(regex="(?s:.*)"))


@pytest.mark.parametrize("special", [False, True])
def test_an_added_token_is_text_unless_it_is_special(special: bool) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.add_tokens(["<tool_call>"], special_tokens=special)
    mark = tokenizer.encode("<tool_call>")[-1]
    guides = hf_guides(tokenizer, len(tokenizer), EOS)
    assert bool(guides.guide(FREE).mask()[mark]) is not special
    spelled = guides.guide(structure_grammar(Structure(regex="<tool_call>x[ab]")))
    assert (spelled.forced()[0] == mark) is not special  # one that is shown is written as the model was taught to
    assert bool(spelled.mask()[mark]) is not special


def test_a_model_may_score_more_tokens_than_its_tokenizer_has_and_they_never_come() -> None:
    tokenizer = tiny.tokenizer()
    for added in ([], ["<tool_call>"]):
        tokenizer.add_tokens(added)
        mask = hf_guides(tokenizer, 300, EOS).guide(FREE).mask()
        assert len(mask) == 300
        assert set(np.flatnonzero(mask)) <= set(range(len(tokenizer)))


def test_every_token_that_ends_an_answer_is_allowed_where_a_structure_is_complete() -> None:
    guide = hf_guides(tiny.tokenizer(), 258, frozenset({256, 257})).guide(FREE)
    assert guide.mask()[[256, 257]].all()


def test_a_tokenizer_without_known_bytes_is_refused() -> None:
    with pytest.raises(NotServable, match=r"tokenizer\.json") as refused:
        hf_guides(object(), 10, EOS)
    assert refused.value.param == "structure"
