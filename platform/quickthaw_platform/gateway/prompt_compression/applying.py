"""The step before admission in which a call's prompt is shortened: once, so that all its tries see the same."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

from quickthaw.compression import about_tokens
from quickthaw.types import BY_FREQUENCY, Compression, Limits
from quickthaw_platform.errors import TimedOut
from quickthaw_platform.gateway.admission import Order
from quickthaw_platform.gateway.prompt_compression.by_function import shortened_by
from quickthaw_platform.gateway.prompt_compression.setting import obstacle, refusal, setting_of
from quickthaw_platform.gateway.prompt_compression.shortening import Shortened, shares, summed_up
from quickthaw_platform.gateway.prompt_compression.texts import Text, replaced, texts_of
from quickthaw_platform.gateway.services import services
from quickthaw_platform.gateway.turns import give_way, in_turns
from quickthaw_platform.gateway.validation import merged_limits
from quickthaw_platform.invocations.records import compact


def with_shorter_prompt(order: Order) -> Order:
    """Return the order with its prompt shortened as its caller or its function says; as it is where neither does.

    Idempotency goes by what the caller sent, the record holds what is sent on. Raises InvalidRequest, naming
    `compress`, where the caller asks for what cannot be.
    """
    setting = setting_of(order.compress, order.version.spec.compress)
    if setting is None:
        return order
    give_way()
    services().checks.check_input(order.version, order.input)
    give_way()
    reason = obstacle(order.input, order.sampling)
    if reason is not None:
        if order.compress is not None:
            raise refusal(reason)
        return replace(order, compression={"reason": reason, "originals": []})
    began = time.monotonic()
    texts = texts_of(order.input, order.version.spec.prefix)
    give_way()
    found = list(zip(texts, _shortened(order, texts, setting), strict=True))
    changed = [(text, shorter) for text, shorter in found if shorter.text != text.body]
    return replace(
        order,
        input=replaced(order.input, {text.path: text.text[: text.whole] + shorter.text for text, shorter in changed}),
        compression={
            "reason": summed_up([shorter.reason for _, shorter in found]),
            "originals": [[list(text.path), text.text] for text, _ in changed],
        },
        digest=digest(order, setting),
        limits=_what_is_left(order, time.monotonic() - began),
    )


def digest(order: Order, setting: Compression) -> str:
    """Return what tells two requests with one idempotency key apart: what the callers sent, and how it is shortened."""
    request = {name: value for name, value in order.request().items() if name != "seed"}
    return hashlib.sha256(compact([request, setting.model_dump()]).encode("utf-8", "surrogatepass")).hexdigest()


def _shortened(order: Order, texts: list[Text], setting: Compression) -> list[Shortened]:
    bodies = [(text.body, text.question) for text in texts]
    budgets = (
        None if setting.budget is None else shares([about_tokens(body) for body, _ in in_turns(bodies)], setting.budget)
    )
    if setting.by != BY_FREQUENCY:
        return shortened_by(setting, order, bodies, budgets)
    return services().shortener.shorten(bodies, setting.ratio, budgets)


def _what_is_left(order: Order, elapsed_seconds: float) -> Limits:
    """Return the call's limits without the time that shortening took, which is part of `total` and of `start`."""
    limits = merged_limits(order.version, order.limits)
    total, start = limits.total - elapsed_seconds, limits.start - elapsed_seconds
    if total <= 0:
        raise TimedOut(f"compressing the prompt took all of the call's {limits.total:g} s")
    return limits.model_copy(update={"total": total, "start": max(0.0, start)})
