"""Results as the platform keeps them with the checkpoint that was measured, under the names that bars use."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from quickthaw.client import Client
from quickthaw.results import CheckpointResult, Measured
from quickthaw.types import Version
from quickthaw_platform.validation.forms import Form
from quickthaw_platform.validation.planning import USUAL_STRIDE, USUAL_WINDOWS
from quickthaw_platform.validation.quality.passages import PROMPT_WORDS, REFERENCE_WORDS
from quickthaw_platform.validation.quality.result import QualityResult
from quickthaw_platform.validation.result import Measure, ScoredText, Subject, ValidationResult

CONTINUATION = "continuation"
WIKITEXT_2 = "wikitext-2"
_KNOWN_TEXTS = {
    "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08": WIKITEXT_2,  # the test split, raw
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def keep(client: Client, result: ValidationResult | QualityResult) -> CheckpointResult | None:
    """Keep a result with its checkpoint and return it as kept.

    None where it is no result of a checkpoint alone: of another server, of a function with code of its own, or with a
    figure that is not finite.
    """
    subject = result.subject
    if subject.digest is None or subject.engine is None:
        return None
    version = None if subject.function is None else _version(client, subject)
    if version is not None and version.spec.handler is not None:
        return None
    record = kept_form(result, version)
    return None if record is None else client.record_result(record.checkpoint, record)


def kept_form(result: ValidationResult | QualityResult, version: Version | None) -> CheckpointResult | None:
    """Return a result as it is kept; `version` is that of the function that was measured, None: one made for it."""
    subject = result.subject
    if subject.digest is None or subject.engine is None:
        return None
    common: dict[str, Any] = {
        "checkpoint": subject.digest,
        "text": text_name(result.text),
        "text_sha256": result.text.digest,
        "engine": subject.engine,
        "adapter": None if version is None else version.adapter_checkpoint,
        "options": subject.options if version is None else version.spec.options,
    }
    made = _continuation(result) if isinstance(result, QualityResult) else _perplexity(result)
    return None if made is None else CheckpointResult(**common, **made)


def text_name(text: ScoredText) -> str:
    """Return the name of a text in bars: `wikitext-2` for its test split, else the file's without odd characters."""
    plain = _NOT_IN_NAMES.sub("-", text.name.removesuffix(".gz")).strip("-._")
    return _KNOWN_TEXTS.get(text.digest, plain[:128] or "text")


def protocol_name(result: ValidationResult) -> str:
    """Return the protocol, with window and stride where they are not the usual ones: figures would not compare."""
    usual = (USUAL_WINDOWS[result.protocol], USUAL_STRIDE if result.protocol == "hf" else None)
    if (result.window, result.stride) == usual:
        return result.protocol
    stride = "" if result.stride is None else f".{result.stride}"
    return f"{result.protocol}@{result.window}{stride}"


def _perplexity(result: ValidationResult) -> Mapping[str, Any] | None:
    found: dict[str, Measure | None] = {
        "perplexity": result.perplexity, "word_perplexity": result.word_perplexity,
        "byte_perplexity": result.byte_perplexity, "bits_per_byte": result.bits_per_byte,
    }  # fmt: skip
    figures = {name: _measured(value) for name, value in found.items() if value is not None}
    if not all(math.isfinite(figure.value) for figure in found.values() if figure is not None):
        return None
    sums = result.sums
    counts = {"tokens": sums.tokens, "windows": result.windows, "words": sums.words, "bytes": sums.bytes}
    return {
        "protocol": protocol_name(result),
        "whole": result.limit is None,
        "metrics": figures,
        "counts": {name: count for name, count in counts.items() if count is not None},
        "settings": {
            "window": result.window, "stride": result.stride, "bos": result.bos, "tokenizer": result.tokenizer,
            "nll": sums.nll, "seconds": result.seconds,
        },
    }  # fmt: skip


def _measured(measure: Measure) -> Measured:
    interval = measure.interval
    if interval is None or not (math.isfinite(interval.high) and math.isfinite(measure.value)):
        return Measured.model_construct(value=measure.value, low=None, high=None)
    return Measured(value=measure.value, low=min(interval.low, measure.value), high=max(interval.high, measure.value))


def _continuation(result: QualityResult) -> Mapping[str, Any]:
    usual = (result.prompt_words, result.reference_words) == (PROMPT_WORDS, REFERENCE_WORDS)
    split = "" if usual else f"@{result.prompt_words}.{result.reference_words}"
    floors = {f"{name}.{floor}": value for floor, found in result.floors.items() for name, value in found.items()}
    return {
        "protocol": CONTINUATION + split,
        "whole": result.whole,
        "metrics": {**result.figures, **floors},
        "counts": {"passages": result.passages, "empty": result.empty, "short": result.short},
        "settings": result.settings,
    }


def _version(client: Client, subject: Subject) -> Version:
    name = str(subject.function).partition(":")[0]
    return next(version for version in client.versions(name) if version.id == subject.version)


def keep_losses(client: Client, form: Form, base: Form) -> CheckpointResult | None:
    """Keep what a form loses with its checkpoint, under `against.BASE`; None where either is no checkpoint alone."""
    if form.losses is None or form.checkpoint is None or base.checkpoint is None:
        return None
    subject = form.result.subject
    version = None if subject.function is None else _version(client, subject)
    plain = kept_form(form.result, version)
    if plain is None or (version is not None and version.spec.handler is not None):
        return None
    lost = form.losses
    name = _NOT_IN_NAMES.sub("-", base.checkpoint.name)
    record = plain.model_copy(
        update={
            "protocol": f"against.{name}"[:128],
            "metrics": {"kl": lost.divergence, "top1_agreement": lost.agreement, "perplexity_ratio": lost.ratio},
            "counts": {"positions": lost.positions},
            "settings": {**plain.settings, "base": base.checkpoint.id, "protocol": plain.protocol},
        }
    )
    return client.record_result(record.checkpoint, record)
