"""The use that `quickthaw prices show` bills where it is given none: made up, and said to be."""

from __future__ import annotations

from quickthaw_platform.prices.consumption import Consumption, InstanceSpan
from quickthaw_platform.prices.offer import Offer, ServerlessOffer

EXAMPLE = (
    "an example: one hour with 60 requests of 20 s, served one by one by an instance of 1 vCPU and 1 GiB (with one "
    "GPU, where the offer has any) that started once in 10 s and idled for 300 s; on a server, one instance always on"
)
_REQUESTS, _SECONDS, _START, _IDLE = 60, 20.0, 10.0, 300.0


def example(offer: Offer) -> Consumption:
    """Return the use that EXAMPLE describes, as this offer would see it."""
    serverless = isinstance(offer, ServerlessOffer)
    busy = _REQUESTS * _SECONDS
    span = InstanceSpan(_START + busy + _IDLE, starting=_START, busy=busy, idle=_IDLE)
    return Consumption(
        period_seconds=3600.0,
        request_seconds=(_SECONDS,) * _REQUESTS,
        instances=(span,) if serverless else (),
        always_on=0.0 if serverless else 1.0,
        gpu=offer.gpu,
        gpus=1 if offer.gpu else 0,
    )
