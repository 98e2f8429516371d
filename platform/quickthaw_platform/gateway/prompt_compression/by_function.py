"""Texts shortened by a function, such as one whose small model tells what each word says: by invocations of it.

What comes back is verified here: a function is not trusted to delete and change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quickthaw.compression import Reason
from quickthaw.types import Compression, Event, EventType, Limits, Version
from quickthaw_platform.errors import FunctionNotFound, InvalidRequest, QuickthawError
from quickthaw_platform.gateway.admission import Admitted, Order, admit
from quickthaw_platform.gateway.auth import principal
from quickthaw_platform.gateway.calls import line
from quickthaw_platform.gateway.openai.mapping import parameters
from quickthaw_platform.gateway.prompt_compression.setting import FIELD
from quickthaw_platform.gateway.prompt_compression.shortening import Shortened
from quickthaw_platform.gateway.services import services
from quickthaw_platform.gateway.validation import merged_limits

FAILED = "compressor_failed"
"""Reason, beside those of compression.Reason, for which a prompt is sent as it was."""

_PARAM = f"{FIELD}.by"


def shortened_by(
    setting: Compression, order: Order, texts: Sequence[tuple[str, str | None]], budgets: Sequence[int] | None
) -> list[Shortened]:
    """Have each text shortened by the function that the setting names, all at once, within the limits of the order.

    A text for which the function fails comes back as it is, with the reason. Raises InvalidRequest where there is no
    such function, and InvocationCancelled when the client hangs up.
    """
    version = compressor(setting.by)
    calls: list[Admitted] = []
    try:
        for index in range(len(texts)):
            calls.append(admit(services(), principal(), _order(version, setting, order, texts, budgets, index)))
    except QuickthawError:
        line(*calls).give_up(forget_keys=True)
        return [Shortened(text, FAILED) for text, _ in texts]
    connection = line(*calls)
    answers = [_answer(list(connection.log(call.id))[-1]) for call in calls]
    given = [text if answer is None else answer.text for (text, _), answer in zip(texts, answers, strict=True)]
    found = services().shortener.verified(texts, given)
    return [_told(each, answer) for each, answer in zip(found, answers, strict=True)]


def compressor(name: str) -> Version:
    """Return the live version of a function that compresses; InvalidRequest where there is none."""
    try:
        version = services().registry.resolve(name, None)
    except FunctionNotFound as error:
        raise InvalidRequest(
            f"{_PARAM}: there is no function {name!r} to compress prompts with; deploy functions/compress under that "
            f"name, or leave `by` out: then words are told apart by their frequency",
            param=_PARAM,
        ) from error
    if "text" not in parameters(version.spec.handler):
        raise InvalidRequest(
            f"{_PARAM}: the function {name!r} takes no `text`, so it cannot compress one", param=_PARAM
        )
    return version


def _order(
    version: Version,
    setting: Compression,
    order: Order,
    texts: Sequence[tuple[str, str | None]],
    budgets: Sequence[int] | None,
    index: int,
) -> Order:
    text, question = texts[index]
    asked: dict[str, Any] = {"text": text, "question": question, "ratio": setting.ratio}
    if budgets is not None:
        asked["budget"] = budgets[index]
    key = None if order.idempotency_key is None else f"{order.idempotency_key}/{FIELD}/{index}"
    return Order(
        version=version,
        input={name: value for name, value in asked.items() if value is not None},
        sampling={},
        limits=_limits(version, merged_limits(order.version, order.limits)),
        compress=False,
        idempotency_key=key,
    )


def _limits(version: Version, of_call: Limits) -> Limits:
    """Return the compressor's own limits, no longer than those of the call that waits for it."""
    own = version.spec.limits
    return Limits(start=min(own.start, of_call.start), total=min(own.total, of_call.total))


def _answer(last: Event) -> Shortened | None:
    """Return what an invocation that ended with this event has made of its text; None where it failed, or has none."""
    value = last.data.get("value") if last.type is EventType.RESULT else None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return None
    return Shortened(value["text"], str(value.get("reason")))


def _told(found: Shortened, answer: Shortened | None) -> Shortened:
    """Return what was verified, with the function's own reason where nothing was wrong and it names one."""
    if answer is None:
        return Shortened(found.text, FAILED)
    is_right = found.text == answer.text and answer.reason in set(Reason)
    return answer if is_right else found
