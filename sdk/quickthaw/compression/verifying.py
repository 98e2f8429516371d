"""A compression that something else made: accepted if the verifier finds nothing wrong, else undone."""

from __future__ import annotations

from dataclasses import replace

from quickthaw.compression.examples import examples
from quickthaw.compression.result import Compressed, Reason
from quickthaw.compression.segments import segments
from quickthaw.compression.spans import protected
from quickthaw.compression.verifier import fault


def verified(text: str, done: Compressed, *, question: str | None = None, drop_examples: bool = False) -> Compressed:
    """Return what was done to a text, or the text as it was, with the reason why it was refused.

    With `drop_examples` what is checked is the text without the examples of which nothing is left.
    """
    if done.text == text:
        return done
    if "".join(text[start:end] for start, end in done.kept) != done.text:
        return _undone(text, done, Reason.NOT_A_SUBSEQUENCE)
    base = _without_lost_examples(text, done) if drop_examples else text
    wrong = fault(base, done.text, protected(base, segments(base), question))
    return done if wrong is None else _undone(text, done, wrong)


def _without_lost_examples(text: str, done: Compressed) -> str:
    found = examples(text)
    shots = found[0] if found else []
    lost = [shot for shot in shots if not any(start < shot[1] and end > shot[0] for start, end in done.kept)]
    for start, end in reversed(lost):
        text = text[:start] + text[end:]
    return text


def _undone(text: str, done: Compressed, reason: Reason) -> Compressed:
    kept = ((0, len(text)),) if text else ()
    return replace(done, text=text, reason=reason, tokens=done.original_tokens, kept=kept)
