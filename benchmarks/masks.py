"""`python benchmarks/masks.py LIBRARY TOKENIZER`: what the masks of llguidance or xgrammar cost.

Run it by the Python of an environment that holds that library and tokenizers, and nothing of ours. TOKENIZER is a
tokenizer.json. Prints what importing takes, how long the vocabulary, a grammar and a mask take (seconds of the
processor, but for the import), and the memory. Every answer is the same text, so both libraries stand in the same
places.
"""

from __future__ import annotations

import importlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS = 5
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "email": {"type": "string", "pattern": "^[a-z.]+@[a-z]+[.]com$"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}},
        "kind": {"enum": ["cat", "dog"]},
    },
    "required": ["name", "age", "email", "tags", "kind"],
    "additionalProperties": False,
}
PERSON_TEXT = (
    '{"name": "Ada Lovelace of Ockham", "age": 36, "email": "ada.l@example.com", '
    '"tags": ["first", "analytical engine"], "kind": "cat"}'
)
WIDE: dict[str, Any] = {
    "type": "object",
    "properties": {f"field_{index}": {"type": "string", "maxLength": 50} for index in range(60)},
    "required": [f"field_{index}" for index in range(60)],
    "additionalProperties": False,
}
WIDE_TEXT = json.dumps({f"field_{index}": f"the value of {index}" for index in range(60)})
CASES = {"person": (PERSON, PERSON_TEXT), "60 fields": (WIDE, WIDE_TEXT)}


class Masks:
    """One library: a vocabulary, and for each text the times of a grammar and of the masks."""

    def __init__(self, library: str, file: Path) -> None:
        began = time.perf_counter()
        importlib.import_module(library)
        self.import_seconds = time.perf_counter() - began
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(file))
        self.encode: Callable[[str], list[int]] = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
        before, began = _peak_mb(), time.process_time()
        self._make = {"llguidance": self._llguidance, "xgrammar": self._xgrammar}[library](tokenizer)
        self.vocabulary_seconds = time.process_time() - began
        self.vocabulary_mb = _peak_mb() - before

    def run(self, schema: dict[str, Any], text: str) -> tuple[float, list[float]]:
        """Return the seconds to compile a schema that is new, and of each mask and its token in a text."""
        began = time.process_time()
        mask, accept = self._make(json.dumps(schema))
        compiled = time.process_time() - began
        masks = []
        for token in self.encode(text):
            began = time.process_time()
            mask()
            if not accept(token):
                raise SystemExit(f"token {token} of {text!r} is refused")
            masks.append(time.process_time() - began)
        return compiled, masks

    @staticmethod
    def _llguidance(tokenizer: Any) -> Callable[[str], tuple[Callable[[], object], Callable[[int], bool]]]:
        from llguidance import LLMatcher, LLTokenizer

        vocabulary = LLTokenizer(tokenizer.to_str())

        def make(schema: str) -> tuple[Callable[[], object], Callable[[int], bool]]:
            options = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
            grammar = LLMatcher.grammar_from_json_schema(schema, overrides=options)  # type: ignore[arg-type]
            matcher = LLMatcher(vocabulary, grammar)
            return matcher.compute_bitmask, matcher.consume_token

        return make

    @staticmethod
    def _xgrammar(tokenizer: Any) -> Callable[[str], tuple[Callable[[], object], Callable[[int], bool]]]:
        xgrammar: Any = importlib.import_module("xgrammar")
        known = tokenizer.get_vocab()
        words = [word for word, _ in sorted(known.items(), key=lambda item: item[1])]
        compiler = xgrammar.GrammarCompiler(
            xgrammar.TokenizerInfo(words, xgrammar.VocabType.BYTE_LEVEL), max_threads=1, cache_enabled=False
        )
        bits = xgrammar.allocate_token_bitmask(1, len(words))

        def make(schema: str) -> tuple[Callable[[], object], Callable[[int], bool]]:
            compiled = compiler.compile_json_schema(schema, any_whitespace=False, separators=(", ", ": "))
            matcher = xgrammar.GrammarMatcher(compiled)
            return lambda: matcher.fill_next_token_bitmask(bits), matcher.accept_token

        return make


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    library, file = sys.argv[1], Path(sys.argv[2])
    masks = Masks(library, file)
    print(f"{library}: import {masks.import_seconds:.2f} s; vocabulary {masks.vocabulary_seconds:.2f} s, ", end="")
    print(f"{masks.vocabulary_mb:.0f} MB; ", end="")
    print(f"{_peak_mb():.0f} MB in all before the first grammar")
    for name, (schema, text) in CASES.items():
        rounds = [masks.run(schema, text) for _ in range(ROUNDS)]
        compiled = statistics.median(seconds for seconds, _ in rounds)
        times = sorted(seconds for _, times in rounds for seconds in times)
        median, most = times[len(times) // 2], times[len(times) * 99 // 100]
        print(f"  {name}: a new grammar {compiled * 1e3:.1f} ms; a mask and its token, ", end="")
        print(
            f"median {median * 1e6:.0f} µs, mean {statistics.mean(times) * 1e6:.0f} µs, 99 of 100 {most * 1e6:.0f} µs"
        )
    print(f"  {_peak_mb():.0f} MB in all at the end")


if __name__ == "__main__":
    main()
