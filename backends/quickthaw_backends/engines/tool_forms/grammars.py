"""The one grammar of an answer: what the model thinks, then a text, a structure or calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quickthaw.generation import Structure
from quickthaw_backends.engines.structure.grammar import structure_grammar
from quickthaw_backends.engines.tool_forms import lark
from quickthaw_backends.engines.tool_forms.form import Asked, Form
from quickthaw_backends.engines.tool_forms.table import form_named
from quickthaw_backends.engines.tool_forms.thoughts import thoughts_named
from quickthaw_platform.contracts import Reading

_ANSWER = "structure"


def grammar(reading: Reading | None, structure: Structure | None) -> str | None:
    """Return the grammar that an answer has to follow, as llguidance reads it; None: it is free.

    Required calls are all that there is; with a structure, calls that may be made are the alternative to it; else the
    text is free up to where a call begins. What the model thinks comes first and is free. Raises InvalidRequest as
    `structure_grammar` does.
    """
    if reading is None or (reading.calls is None and reading.thoughts is None):
        return None if structure is None else structure_grammar(structure)
    if not reading.tools and structure is None:
        return None
    return _Answer(reading, structure).text()


@dataclass(frozen=True, slots=True)
class _Answer:
    """The parts of the grammar of one answer."""

    reading: Reading
    structure: Structure | None

    def text(self) -> str:
        """Return all of it: one grammar, and the structure's where that stands apart."""
        entry = self._structure_entry()
        rules = [*self._start(), *self._calls(), *self._free(), *_structure_rules(entry)]
        outer = {"lark_grammar": "\n".join(rules)}
        apart = [] if entry is None or "json_schema" in entry else [{**entry, "name": _ANSWER}]
        return json.dumps({"grammars": [outer, *apart]})

    def _structure_entry(self) -> Mapping[str, Any] | None:
        if self.structure is None or self.reading.must_call:
            return None
        text = structure_grammar(self.structure)
        if not text.startswith("{"):
            return {"lark_grammar": text}
        (entry,) = json.loads(text)["grammars"]
        return {name: value for name, value in entry.items() if value is not None}

    def _start(self) -> list[str]:
        """Return where it starts: within what is thought, or with the answer, which thoughts may come before."""
        if self.reading.thoughts is None:
            return ["start: answer"]
        marks = thoughts_named(self.reading.thoughts)
        opening, closing = (self._asked().marker(text) for text in (marks.opening, marks.closing))
        rules = ["start: thoughts GAP answer", r"GAP: /\n{0,2}/"]
        if not self.reading.thinking:
            rules[0] = f"start: answer | {opening} thoughts GAP answer"
        if marks.closing in self.reading.specials:
            return [*rules, f"thoughts: THOUGHT {closing}", "THOUGHT: /(?s:.*)/"]
        return [*rules, "thoughts: thought", f"thought[lazy]: /(?s:.*){lark.pattern(marks.closing)}/"]

    def _calls(self) -> list[str]:
        """Return `answer` where there are calls, and what a call is."""
        if self.reading.calls is None:
            return ["answer: structure"]
        form, asked = form_named(self.reading.calls), self._asked()
        leads = [f"lead: {' | '.join(map(asked.marker, form.leads))}"] if form.leads else []
        text = f"{'lead' if leads else ''} {'TEXT' if self.structure is None else 'structure'}"
        if not self.reading.tools:
            return [f"answer: {text}", *leads]
        opening = "" if form.first else f"({' | '.join(map(asked.marker, form.openings[: form.asked]))})"
        rules = [form.rules(asked), *leads]
        if self.reading.must_call:
            return [f"answer: {opening} calls", *rules]
        if self.structure is not None:
            return [f"answer: {text} | {opening} calls", *rules]
        return [f"answer: {' | '.join([text, *self._ways(form)])}", *rules]

    def _asked(self) -> Asked:
        functions = [tool["function"] for tool in self.reading.tools]
        beside_json = self.structure is not None and not self.reading.must_call
        return Asked(functions, self.reading.specials, self.reading.parallel, beside_json)

    def _ways(self, form: Form) -> list[str]:
        """Return the ways of an answer that is free and calls: text and calls, calls at once."""
        specials = [text for text in form.openings if self._is_special(text)]
        ways = [f"TEXT? {self._asked().marker(text)} calls" for text in specials]
        literals = len(specials) < len(form.openings) and not form.leads
        return [*ways, *(["until calls"] if literals else []), *(["calls"] if form.first else [])]

    def _is_special(self, opening: str) -> bool:
        return opening.startswith(tuple(self.reading.specials))

    def _free(self) -> list[str]:
        """Return what free text is: all but what thoughts or calls begin with."""
        reading = self.reading
        if reading.calls is None or not reading.tools or reading.must_call or self.structure is not None:
            return []
        form = form_named(reading.calls)
        excluded = [form.beginning] if form.first else []
        if self.reading.thoughts is not None and not self.reading.thinking:
            excluded.append(lark.pattern(thoughts_named(self.reading.thoughts).opening))
        other = "".join(f" & ~/(?s:{begin}.*)/" for begin in excluded)
        literals = "|".join(lark.pattern(text) for text in form.openings if not self._is_special(text))
        until = [f"until[lazy]: /(?s:.*)({literals})/{other}"] if literals else []
        return [f"TEXT: /(?s:.*)/{other}", *until]


def _structure_rules(entry: Mapping[str, Any] | None) -> list[str]:
    """Return `structure`: a schema stands within the grammar, since one apart could not begin as a call does."""
    if entry is None:
        return []
    if "json_schema" in entry:
        return [f"structure: %json {json.dumps(entry['json_schema'])}"]
    return [f"structure: @{_ANSWER}"]
