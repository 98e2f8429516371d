"""Let a call in: validate it, record it, and see that an instance takes it."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import structlog

from quickthaw.generation import ChatOptions, Sampling
from quickthaw.resources import Webhook
from quickthaw.types import Compression, Limits, Version
from quickthaw_platform.gateway.auth import Principal
from quickthaw_platform.gateway.beginnings import beginnings
from quickthaw_platform.gateway.services import Services
from quickthaw_platform.gateway.structure_check.demanded import checked
from quickthaw_platform.gateway.structure_check.places import NATIVE, Places
from quickthaw_platform.gateway.turns import give_way
from quickthaw_platform.gateway.validation import check_max_tokens, merged_limits
from quickthaw_platform.invocations.records import Admission, NewInvocation
from quickthaw_platform.metering import metrics

SEED_BITS = 53
"""A seed that every JSON reader keeps exactly."""

LATE_FACTOR = 4.0
"""A call is refused at once when its wait is estimated at so many times its start limit: estimates may be off, most of
all those that rest on a probe which met a busy machine.
"""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asks of a version."""

    version: Version
    input: Mapping[str, Any]
    sampling: Mapping[str, Any]  # only the fields that the caller set
    chat: Mapping[str, Any] = field(default_factory=dict)  # likewise, of ChatOptions
    limits: Limits | None = None
    webhook: Webhook | None = None
    idempotency_key: str | None = None
    places: Places = NATIVE
    keep_seconds: float | None = None  # how long it is kept when it has ended; None: the setting invocation_ttl
    compress: Compression | Literal[False] | None = None  # what the caller says of it; None: as the function has it
    compression: Mapping[str, Any] | None = None  # what was done to the input (see prompt_compression); None: nothing
    digest: str | None = None  # of what the caller sent, where the input is another by now

    def request(self) -> dict[str, Any]:
        """Return what the instance gets. The seed is drawn here, so that every try of the call is the same."""
        sampling = Sampling.model_validate(self.sampling)
        seed = secrets.randbits(SEED_BITS) if sampling.seed is None else sampling.seed
        request = {
            "input": dict(self.input),
            "sampling": sampling.model_dump(mode="json", exclude_unset=True),
            "seed": seed,
        }
        if self.compression is not None:
            request["compression"] = dict(self.compression)
        return {**request, "chat": self._chat()} if self.chat else request

    def _chat(self) -> dict[str, Any]:
        return ChatOptions.model_validate(self.chat).model_dump(mode="json", exclude_unset=True)

    def beginnings(self) -> tuple[str, ...]:
        """Return the hashes by which the call finds its instance; none where the version has only one."""
        return beginnings(self.version.id, self.input) if self.version.spec.max_instances > 1 else ()


@dataclass(frozen=True, slots=True)
class Admitted:
    """An accepted call. `keyed`: it has an idempotency key, so that its client may ask for it again.

    `repeated`: the same call came before, and this is its invocation.
    """

    id: str
    keyed: bool = False
    repeated: bool = False


def admit(services: Services, caller: Principal, order: Order) -> Admitted:
    """Accept a call and set it going.

    Raises InvalidRequest, QueueFull, Conflict, RateLimited, RequestTooLarge or Unavailable, with nothing accepted.
    """
    give_way()
    services.room.check()
    services.checks.check_input(order.version, order.input)
    give_way()
    asked = order.request()
    check_max_tokens(order.version, asked["sampling"], order.places.max_tokens)
    request = checked(services.structures, asked, order.places)
    give_way()
    new = NewInvocation(
        id=uuid.uuid4().hex,
        version=order.version,
        request=request,
        key_id=caller.key_id,
        key_weight=caller.info.weight,
        idempotency_key=order.idempotency_key,
        webhook=order.webhook.model_dump() if order.webhook else None,
        limits=merged_limits(order.version, order.limits),
        beginnings=order.beginnings(),
        keep_seconds=order.keep_seconds,
        digest=order.digest,
        may_hold_bytes=caller.info.quotas.store_bytes,
    )
    if order.idempotency_key is not None:
        new = replace(new, digest=new.request_digest())
    give_way()
    admission = services.store.admit(new)
    give_way()
    if admission.duplicate_of is not None:
        return Admitted(admission.duplicate_of, keyed=True, repeated=True)
    services.quotas.note(caller.info, new.id)
    if admission.familiar:
        metrics.prefix_leases_total.labels(order.version.function).inc()
    place(services, new, admission)
    return Admitted(new.id, keyed=order.idempotency_key is not None)


def cancel(services: Services, invocation: str, reason: str, *, forget_key: bool = False) -> None:
    """End an invocation as cancelled and tell the node that runs it; one that has ended stays as it is.

    `forget_key`: its idempotency key means nothing any more, so that the same call with it is a new one.
    """
    stopped = services.store.cancel(invocation, reason, forget_key=forget_key)
    if stopped.node is not None:
        services.commands.cancel(stopped.node, invocation)
    if stopped.done:
        _log.info("cancelled", invocation=invocation, reason=reason)


def place(services: Services, new: NewInvocation, admission: Admission) -> None:
    """See that an instance comes for an accepted call that has none, or tell it at once that none can in time."""
    if admission.assignment is not None:
        return
    services.allocator.allocate(new.version)  # which also tells those who wait why, or that it can never be
    limits = new.limits or new.version.spec.limits
    estimate = services.store.get(new.id).estimate_seconds
    if estimate is not None and estimate > LATE_FACTOR * limits.start:
        services.store.refuse_late(new.id, estimate, limits.start)
