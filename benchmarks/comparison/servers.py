"""The servers that stand beside the platform: commands that `quickthaw compare` starts and ends."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

from benchmarks.assets import CHILDREN, gguf_file, hugging_face_folder
from quickthaw_platform.commands.ports import claim_port

LLAMA, SERVE = "llama.cpp", "transformers-serve"


def endpoint_options() -> list[str]:
    """Return the options that name both servers, each on a free port of this machine."""
    return [*_llama(claim_port("127.0.0.1", 0)), *_transformers(claim_port("127.0.0.1", 0))]


def _llama(port: int) -> list[str]:
    threads = str(os.cpu_count() or 1)
    command = [sys.executable, str(CHILDREN / "llama_server.py"), str(gguf_file()), str(port), threads, "{}"]
    return _endpoint(LLAMA, port, command, {"ignore_eos": True})


def _transformers(port: int) -> list[str]:
    folder = str(hugging_face_folder())
    program = str(Path(sys.executable).with_name("transformers"))
    options = ["--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    return [
        *_endpoint(SERVE, port, ["env", "HF_HUB_OFFLINE=1", program, "serve", folder, *options], {}),
        "--endpoint-model",
        f"{SERVE}={folder}",
    ]


def _endpoint(name: str, port: int, command: list[str], body: dict[str, object]) -> list[str]:
    return [
        *("--endpoint", f"{name}=http://127.0.0.1:{port}"),
        *("--endpoint-command", f"{name}={shlex.join(command)}"),
        *("--endpoint-body", f"{name}={json.dumps(body)}"),
    ]
