"""What every engine refuses before it computes."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw.errors import ContextLengthExceeded, InvalidRequest


def check_tokens(tokens: Sequence[int], vocabulary: int) -> None:
    """Raise InvalidRequest for a token id that a vocabulary of this size does not have."""
    if tokens and (min(tokens) < 0 or max(tokens) >= vocabulary):
        raise InvalidRequest(f"token ids must be from 0 to {vocabulary - 1:,}", param="prompt")


def check_batch_to_embed(batch: Sequence[Sequence[int]], context_tokens: int, vocabulary: int) -> None:
    """Refuse a batch with a sequence that cannot be embedded, naming it `input[i]`, or of a single one `input`.

    Raises InvalidRequest for one without tokens or with ids that a vocabulary of this size does not have, and
    ContextLengthExceeded for one that is too long. Nothing of the batch is computed then.
    """
    for index, tokens in enumerate(batch):
        name = "input" if len(batch) == 1 else f"input[{index}]"
        if not tokens:
            raise InvalidRequest(f"{name} has no tokens", param=name)
        if len(tokens) > context_tokens:
            raise ContextLengthExceeded(
                f"{name} has {len(tokens):,} tokens; this model takes at most {context_tokens:,}, so none of the batch "
                "was embedded. Shorten it or cut it into pieces.",
                param=name,
            )
        if min(tokens) < 0 or max(tokens) >= vocabulary:
            raise InvalidRequest(
                f"{name} has token ids outside of 0 to {vocabulary - 1:,}: they must be this model's own. "
                "Send text; LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False",
                param=name,
            )
