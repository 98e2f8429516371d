"""A comparison of a model's forms as a table (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quickthaw.cli.output import size
from quickthaw.resources import CheckpointInfo
from quickthaw_platform.validation.forms import TOP, Form

COLUMNS = (
    "MODEL", "ENGINE", "STORED AS", "SIZE", "PERPLEXITY", "95% INTERVAL", "× BASE", "KL ≥ (NATS)", "TOP-1", "TOKENS/S",
)  # fmt: skip


def row(form: Form, base: Form) -> tuple[object, ...]:
    """Return a form's cells; what a comparison gives is empty for the base."""
    found, lost = form.result, form.losses
    interval = found.perplexity.interval
    return (
        found.subject.checkpoint or found.subject.model,
        found.subject.engine,
        "-" if form.checkpoint is None else stored_as(form.checkpoint),
        _size(form, base),
        f"{found.perplexity.value:.3f}",
        None if interval is None else f"{interval.low:.3f} to {interval.high:.3f}",
        None if lost is None else f"{lost.ratio.value:.4f}",
        None if lost is None else f"{lost.divergence.value:.5f}",
        None if lost is None else f"{lost.agreement.value:.2f}%",
        f"{found.tokens_per_second:,.0f}",
    )


def stored_as(checkpoint: CheckpointInfo) -> str:
    """Return how a checkpoint's weights are stored: `bfloat16`, `int8`, `Q4_1`."""
    return checkpoint.quantization or checkpoint.dtype or checkpoint.weights_format


def notes(found: Sequence[Form]) -> Iterator[str]:
    """Yield what must be said beside the table."""
    base = found[0].result
    compared = [form.losses for form in found if form.losses is not None]
    positions = f"{compared[0].positions:,} positions" if compared else "no position"
    yield (
        f"KL: mean divergence of the next token's distribution of {base.subject.model} from the form's, "
        f"over {positions}; a lower bound, since an API names the {TOP} likeliest tokens only, and all others "
        "count as one."
    )
    yield "× base: perplexity over the base's. Top-1: positions at which both have the same likeliest token."
    yield "Tokens/s: tokens read, with those of the context, while a function scored them alone on its nodes."


def _size(form: Form, base: Form) -> str:
    if form.checkpoint is None:
        return "-"
    written = size(form.checkpoint.bytes)
    if base.checkpoint is None or base is form:
        return written
    return f"{written} ({form.checkpoint.bytes / base.checkpoint.bytes:.0%})"
