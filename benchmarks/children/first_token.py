"""Child process: `first_token.py FOLDER DTYPE QUESTION` prints the first token of the answer, as a plain script would.

It imports nothing of ours: what it takes from start to print is what is measured.
"""

import sys
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, dtype, question = sys.argv[1:]
tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), trust_remote_code=False)
messages = [{"role": "user", "content": question}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
output = model.generate(**inputs, max_new_tokens=1, do_sample=False)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :]), flush=True)
