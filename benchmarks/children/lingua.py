"""LLMLingua (Jiang et al. 2023) in a Python of its own: `lingua.py MODEL_FOLDER`; a JSON object a line in, a text out.

It loads a vocabulary from the net only to print how many of another model's tokens were saved; that count is left out.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any


def main() -> None:
    import tiktoken  # type: ignore[import-not-found,unused-ignore]

    tiktoken.encoding_for_model = lambda _: SimpleNamespace(encode=lambda text, **_: text.split())
    from llmlingua import PromptCompressor  # type: ignore[import-not-found,unused-ignore]

    compressor: Any = PromptCompressor(model_name=sys.argv[1], device_map="cpu")
    for line in sys.stdin:
        asked = json.loads(line)
        *context, question = asked["text"].split("\n\n")
        made = compressor.compress_prompt(context or [question], question=question, rate=asked["rate"])
        print(json.dumps(made["compressed_prompt"]), flush=True)


if __name__ == "__main__":
    main()
