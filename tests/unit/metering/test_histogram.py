"""Many values observed together."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as PlainHistogram

from quickthaw_platform.metering.histogram import Histogram

BOUNDS = (0.1, 0.5, 1.0)


@pytest.mark.parametrize(
    "values",
    [
        (),
        (0.3,),
        (0.1, 0.5, 1.0),  # a bucket holds its bound
        (-1.0, 0.2, 0.2, 7.0, float("inf")),
    ],
    ids=["none", "one", "the bounds", "many"],
)
def test_values_observed_together_count_as_each_alone(values: tuple[float, ...]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    Histogram("seconds", "", ("label",), buckets=BOUNDS, registry=ours).labels("a").observe_each(values)
    plain = PlainHistogram("seconds", "", ("label",), buckets=BOUNDS, registry=theirs).labels("a")
    for value in values:
        plain.observe(value)

    def samples(registry: CollectorRegistry) -> dict[str, float]:
        return {
            f"{sample.name}{sample.labels}": sample.value
            for metric in registry.collect()
            for sample in metric.samples
            if not sample.name.endswith("_created")
        }

    assert samples(ours) == pytest.approx(samples(theirs))
