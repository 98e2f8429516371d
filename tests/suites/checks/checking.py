"""How the programs in this folder tell what they found: a line of JSON for each check, on the standard output.

They run in the environments of the clients and import nothing of quickthaw. Answers are judged by their shape and
validity: what a model of 135 million parameters says about the world is beside the point.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable

URL = f"{os.environ['QUICKTHAW_URL']}/v1"
ROOT_URL = os.environ["QUICKTHAW_URL"]
KEY = os.environ["QUICKTHAW_KEY"]
MODEL = "chat"

QUESTION = "What is the weather in Paris?"
PERSON_QUESTION = "Ada is 36 years old. Who is she?"

_CHECKS: list[Callable[[], object]] = []


def check(function: Callable[[], object]) -> Callable[[], object]:
    """Mark a function, plain or async, as a check: it fails where it raises."""
    _CHECKS.append(function)
    return function


def run() -> None:
    """Run all checks in order and tell what became of each."""
    for function in _CHECKS:
        verdict, message = "passed", ""
        try:
            result = function()
            if inspect.isawaitable(result):
                asyncio.run(_awaited(result))
        except Exception as error:  # noqa: BLE001 - whatever a client raises is what is to be told
            verdict, message = "failed", f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        print(json.dumps({"name": function.__name__, "verdict": verdict, "message": message}), flush=True)
    sys.stdout.flush()


async def _awaited(result: object) -> None:
    assert inspect.isawaitable(result)
    await result
