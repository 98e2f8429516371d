"""The stream of what becomes of models, in the form of llama.cpp's `/models/sse`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from quickthaw_platform.errors import Unavailable
from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.disconnect import hung_up
from quickthaw_platform.gateway.model_cards import ModelCard, ModelStatus
from quickthaw_platform.gateway.model_watch import ModelWatch

INTERVAL_SECONDS = 0.5
"""How often the cluster is looked at while anybody watches."""

STATUS = "model_status"  # how a model is when the stream begins
CHANGE = "status_change"
REMOVED = "model_remove"
STILL_HERE = b": still here\n\n"


def stream(watch: ModelWatch, environ: Mapping[str, Any], keepalive_seconds: float) -> Iterator[bytes]:
    """Yield one event for each model, then one for each change, for as long as the client listens."""
    known: Mapping[str, ModelCard] = {}
    first = True
    spoke = time.monotonic()
    while not hung_up(environ):
        cards = _look(watch, known)
        said = b"".join(sse.message(body) for body in changes(known, cards, STATUS if first else CHANGE))
        known, first = cards, False
        if said or time.monotonic() - spoke >= keepalive_seconds:
            spoke = time.monotonic()
            yield said or STILL_HERE
        time.sleep(INTERVAL_SECONDS)


def changes(
    before: Mapping[str, ModelCard], after: Mapping[str, ModelCard], event: str = CHANGE
) -> Iterator[dict[str, Any]]:
    """Yield what is to be told of models whose status has changed, and of those that are new or gone. Pure."""
    for name, card in after.items():
        old = before.get(name)
        if old is None or _lasting(old.status) != _lasting(card.status):
            yield {"model": name, "event": event, "data": _told(card.status)}
    for name in before.keys() - after.keys():
        yield {"model": name, "event": REMOVED, "data": {}}


def _look(watch: ModelWatch, known: Mapping[str, ModelCard]) -> Mapping[str, ModelCard]:
    try:
        return watch.recent(INTERVAL_SECONDS)
    except Unavailable:  # an outage that a listener may outlive
        return known


def _lasting(status: ModelStatus) -> ModelStatus:
    """Return what of a status does not change by itself as time goes by."""
    return status.model_copy(update={"estimate_seconds": None})


def _told(status: ModelStatus) -> dict[str, Any]:
    fields = status.model_dump(mode="json", exclude_none=True)
    return {"status": fields.pop("value"), **fields}
