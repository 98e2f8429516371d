"""The forms that are known, and how a chat template tells which is its model's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from quickthaw_backends.engines.tool_forms.deepseek import DEEPSEEK, DEEPSEEK_PLAIN
from quickthaw_backends.engines.tool_forms.form import Form
from quickthaw_backends.engines.tool_forms.harmony import HARMONY
from quickthaw_backends.engines.tool_forms.hermes import HERMES
from quickthaw_backends.engines.tool_forms.json_lines import JSON, LLAMA
from quickthaw_backends.engines.tool_forms.mistral import MISTRAL, MISTRAL_NAMED
from quickthaw_backends.engines.tool_forms.pythonic import PYTHONIC
from quickthaw_backends.engines.tool_forms.qwen_coder import QWEN_CODER
from quickthaw_backends.engines.tool_forms.thoughts import thoughts_named
from quickthaw_platform.contracts import Reading

_FORMS: dict[str, Form] = {
    form.name: form
    for form in (HARMONY, HERMES, QWEN_CODER, LLAMA, JSON, PYTHONIC, MISTRAL, MISTRAL_NAMED, DEEPSEEK, DEEPSEEK_PLAIN)
}
_SIGNS = (
    ("<|channel|>", HARMONY),
    ("function<\uff5ctool\u2581sep\uff5c>", DEEPSEEK),
    ("<\uff5ctool\u2581sep\uff5c>", DEEPSEEK_PLAIN),
    ("[ARGS]", MISTRAL_NAMED),
    ("[TOOL_CALLS]", MISTRAL),
    ("<function=", QWEN_CODER),
    ("<tool_call>", HERMES),
    ("<|python_start|>", PYTHONIC),
    ("func_name1(", PYTHONIC),
    ("<|python_tag|>", LLAMA),
    ('"parameters":', LLAMA),
)
"""What stands in a family's chat templates, and its form; the first that is found counts, else calls are bare JSON."""
TAUGHT = HERMES.name
"""The form that models are taught whose template has no place for tools."""


def form_named(name: str) -> Form:
    """Return the form with a name."""
    return _FORMS[name]


def form_of(template: str) -> str:
    """Return the name of the form that a chat template with a place for tools speaks of."""
    return next((form for sign, form in _SIGNS if sign in template), JSON).name


def always_read(template: str) -> str | None:
    """Return the name of the form whose marks stand in answers without calls too; None: the model's is none such."""
    name = form_of(template)
    return name if form_named(name).silent else None


def with_specials(
    reading: Reading, encode: Callable[[str], list[int]], decode: Callable[[Sequence[int]], str]
) -> Reading:
    """Return a reading that knows which of its marks are special tokens: one token each, which `decode` leaves out."""
    marks = [] if reading.calls is None else [*form_named(reading.calls).specials]
    if reading.thoughts is not None:
        thoughts = thoughts_named(reading.thoughts)
        marks += [thoughts.opening, thoughts.closing]
    found = {mark: encode(mark) for mark in marks}
    specials = {mark: ids[0] for mark, ids in found.items() if len(ids) == 1 and not decode(ids)}
    return replace(reading, specials=specials)


def short_ids(reading: Reading) -> bool:
    """Return whether the ids of this reading's calls are nine letters and digits and nothing else."""
    return reading.calls is not None and form_named(reading.calls).short_ids


def markers(reading: Reading) -> frozenset[str]:
    """Return the texts of the special tokens that have to be shown for this reading; others stay hidden."""
    return frozenset(reading.specials)
