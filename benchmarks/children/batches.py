"""Child process: `batches.py FOLDER DTYPE` generates batches with transformers' own code, as standard input asks.

Question: `{"way": "static" | "continuous", "prompts": [[token, …], …], "new_tokens": n}`; greedy, n tokens for each.
Answer: `{"seconds": …, "tokens": …}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

NO_TOKEN = -1  # as the end of sequence: nothing ends early


def static(model: Any, pad: int, prompts: list[list[int]], new_tokens: int) -> int:
    """Run one left-padded `generate`; return how many tokens it made."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    exact = {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens, "do_sample": False, "pad_token_id": pad}
    with torch.inference_mode():
        output = model.generate(input_ids=ids, attention_mask=mask, **exact)
    return int((output.shape[1] - width) * len(prompts))


def continuous(model: Any, pad: int, prompts: list[list[int]], new_tokens: int) -> int:
    """Run `generate_batch`, its manager kept between calls; return how many tokens it made."""
    config: Any = GenerationConfig  # its constructor has no types
    exact = config(max_new_tokens=new_tokens, do_sample=False, eos_token_id=NO_TOKEN, pad_token_id=pad)
    output = model.generate_batch(prompts, generation_config=exact, persistent_manager=True)
    return sum(len(one.generated_tokens) for one in output.values())


def main(folder: str, dtype: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the libraries print goes to the log
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), trust_remote_code=False)
    pad = AutoTokenizer.from_pretrained(folder, trust_remote_code=False).pad_token_id
    ways = {"static": static, "continuous": continuous}
    for line in sys.stdin:
        question = json.loads(line)
        began = time.monotonic()
        tokens = ways[question["way"]](model, pad, question["prompts"], question["new_tokens"])
        print(json.dumps({"seconds": time.monotonic() - began, "tokens": tokens}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
