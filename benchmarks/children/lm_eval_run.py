"""`python lm_eval_run.py MODEL TASKS WINDOW DTYPE`: lm-eval's own run, it being on PYTHONPATH; prints its results."""

from __future__ import annotations

import json
import sys

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

model, tasks, window, dtype = sys.argv[1:]
lm = HFLM(pretrained=model, device="cpu", dtype=dtype, max_length=int(window), batch_size=1)
manager = TaskManager(include_path=tasks, include_defaults=False)
found = lm_eval.simple_evaluate(model=lm, tasks=["wikitext_local"], task_manager=manager, bootstrap_iters=0)
print(json.dumps({name: value for name, value in found["results"]["wikitext_local"].items() if "," in name}))
