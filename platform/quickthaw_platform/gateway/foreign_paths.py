"""Paths of other servers, and the usual slips in a base URL: what to call here instead. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

_CHAT = "call /v1/chat/completions"
_TEXT = "call /v1/completions"
_MODELS = "/v1/models lists the functions"
_COUNT = "/v1/messages/count_tokens counts tokens"
_IMPORT = "models are imported by `quickthaw models import` and deployed by `quickthaw deploy`"
_TEXT_ONLY = "only text is generated and embedded here"
_NOT_KEPT = "files, batches, assistants and conversations are not kept here; /v1/responses keeps responses"

_POINTERS = {
    "/api/generate": _TEXT,  # Ollama
    "/api/chat": _CHAT,
    "/api/tags": _MODELS,
    "/api/show": "/v1/models/{id} describes a function",
    "/api/ps": "/v1/instances lists what runs",
    "/api/embed": "call /v1/embeddings",
    "/api/embeddings": "call /v1/embeddings",
    "/api/version": "see /version",
    "/api/pull": _IMPORT,
    "/api/push": _IMPORT,
    "/api/create": _IMPORT,
    "/api/copy": _IMPORT,
    "/api/delete": _IMPORT,
    "/api/blobs": _IMPORT,
    "/completion": _TEXT,  # llama.cpp
    "/infill": "call /v1/completions with a suffix",
    "/embedding": "call /v1/embeddings",
    "/tokenize": _COUNT,
    "/detokenize": "the native stream has text and tokens; see /docs/",
    "/apply-template": "the function shows conversations to its model; call /v1/chat/completions",
    "/props": _MODELS,
    "/slots": "/v1/instances lists what runs",
    "/lora-adapters": "a function has its adapter; see `quickthaw deploy`",
    "/generate": _TEXT,  # TGI, and older servers of vLLM
    "/generate_stream": f"{_TEXT} with stream: true",
    "/info": "see / and /v1/models",
    "/get_model_info": _MODELS,  # SGLang
    "/server_info": "see / and /version",
    "/invocations": "call /v1/functions/{name}/invoke",  # SageMaker
    "/v1/complete": "call /v1/messages",  # Anthropic's first API
    "/v1/load_lora_adapter": "a function has its adapter; see `quickthaw deploy`",
    "/rerank": _TEXT_ONLY,
    "/v1/rerank": _TEXT_ONLY,
    "/v2/rerank": _TEXT_ONLY,
    "/score": _TEXT_ONLY,
    "/pooling": "call /v1/embeddings",
    "/classify": _TEXT_ONLY,
    "/v1/images": _TEXT_ONLY,
    "/v1/audio": _TEXT_ONLY,
    "/v1/videos": _TEXT_ONLY,
    "/v1/moderations": _TEXT_ONLY,
    "/v1/realtime": f"{_CHAT} or /v1/responses, with stream: true",
    "/v1/edits": _CHAT,
    "/v1/files": _NOT_KEPT,
    "/v1/uploads": _NOT_KEPT,
    "/v1/batches": _NOT_KEPT,
    "/v1/assistants": _NOT_KEPT,
    "/v1/threads": _NOT_KEPT,
    "/v1/conversations": _NOT_KEPT,
    "/v1/responses/compact": "no conversation is compacted here; leave items out of `input`, or send truncation: auto",
    "/v1/vector_stores": _NOT_KEPT,
    "/v1/fine_tuning": "nothing is trained here; import an adapter by `quickthaw models import`",
    "/live": "see /healthz",
    "/livez": "see /healthz",
    "/ready": "see /readyz",
    "/status": "see /healthz and /readyz",
    "/v2/health/live": "see /healthz",  # Triton
    "/v2/health/ready": "see /readyz",
    "/v1/metrics": "see /metrics",
}
"""Paths that other servers have, those below them included."""

_GEMINI = ("/v1beta/models", "/v1/models", "/v1beta1/models")


def pointer(path: str, exists: Callable[[str], bool]) -> str | None:
    """Return where to go instead of `path`, as part of a sentence; None where that cannot be told.

    `exists` says whether there is an endpoint at a path.
    """
    lower = path.lower().rstrip("/")
    if lower.startswith(_GEMINI) and "content" in lower.rpartition(":")[2]:
        return _CHAT
    for known, told in _POINTERS.items():
        if lower == known or lower.startswith(f"{known}/"):
            return told
    meant = next((candidate for candidate in _candidates(path) if exists(candidate)), None)
    if meant is None:
        return None
    return (
        f"{meant} is there: is the base URL right? OpenAI's clients take one that ends in /v1, Anthropic's one without"
    )


def _candidates(path: str) -> Iterator[str]:
    """Yield the path and its ends, the longest first, as they are and behind /v1."""
    segments = [segment for segment in path.split("/") if segment]
    for spelled in (segments, [segment.lower() for segment in segments]):
        for first in range(len(spelled)):
            rest = "/" + "/".join(spelled[first:])
            yield from (rest, f"/v1{rest}")
