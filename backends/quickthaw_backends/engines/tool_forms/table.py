"""The forms that are known, and how a chat template tells which is its model's."""

from __future__ import annotations

from quickthaw_backends.engines.tool_forms.form import Form
from quickthaw_backends.engines.tool_forms.hermes import HERMES
from quickthaw_platform.contracts import Reading

_FORMS: dict[str, Form] = {form.name: form for form in (HERMES,)}
TAUGHT = "hermes"
"""The form that models are taught whose template has no place for tools."""


def form_named(name: str) -> Form:
    """Return the form with a name."""
    return _FORMS[name]


def short_ids(reading: Reading) -> bool:
    """Return whether the ids of this reading's calls are nine letters and digits and nothing else."""
    return reading.calls is not None and form_named(reading.calls).short_ids


def markers(reading: Reading) -> frozenset[str]:
    """Return the texts of the special tokens that have to be shown for this reading; others stay hidden."""
    return frozenset(reading.specials)
