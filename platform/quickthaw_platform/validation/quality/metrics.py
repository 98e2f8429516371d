"""BLEU, chrF, ROUGE and distinct-n of continuations against references, all between 0 and 100 (pure).

BLEU and chrF are sacrebleu's over all passages together (Post 2018), ROUGE is the mean F1 of rouge-score with Porter's
stemmer (Lin 2004), distinct-n is the part of n-grams that differ (Li et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quickthaw.results import Measured

REPLICATES = 1000
SEED = 15
FEWEST = 8
"""With fewer passages to draw from, an interval would say more than is known."""

ROUGE = {"rouge-1": "rouge1", "rouge-2": "rouge2", "rouge-l": "rougeL"}
NAMES = ("bleu", *ROUGE, "chrf", "distinct-1", "distinct-2")


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of one set of continuations by name, and what must be quoted with BLEU and chrF."""

    figures: Mapping[str, Measured]
    signatures: Mapping[str, str]


def quality(continuations: Sequence[str], references: Sequence[str]) -> Quality:
    """Compare continuations with references, one each; ValueError where there are none, or not as many of both."""
    if not references or len(continuations) != len(references):
        raise ValueError(f"{len(continuations)} continuations cannot be compared with {len(references)} references")
    bleu, chrf, signatures = _sacrebleu(continuations, references)
    distinct = {f"distinct-{n}": Measured(value=100 * distinct_ngrams(continuations, n)) for n in (1, 2)}
    figures = {"bleu": bleu, **_rouge(continuations, references), "chrf": chrf, **distinct}
    return Quality(figures, signatures)


def distinct_ngrams(texts: Sequence[str], n: int) -> float:
    """Return different n-grams over all n-grams of some texts, by words; 0 where there are none."""
    found = [tuple(words[i : i + n]) for words in map(str.split, texts) for i in range(len(words) - n + 1)]
    return len(set(found)) / len(found) if found else 0.0


def _sacrebleu(texts: Sequence[str], references: Sequence[str]) -> tuple[Measured, Measured, dict[str, str]]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    found, signatures = [], {}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        score = metric.corpus_score(list(texts), [list(references)])
        signatures[name] = str(metric.get_signature())
        found.append(_with_interval(score.score, metric, texts, references))
    return found[0], found[1], signatures


def _with_interval(value: float, metric: Any, texts: Sequence[str], references: Sequence[str]) -> Measured:
    """Add sacrebleu's own bootstrap: the mean of its replicates, and half the width of their middle 95%."""
    if len(texts) < FEWEST:
        return Measured(value=value)
    drawn = metric.corpus_score(list(texts), [list(references)], n_bootstrap=REPLICATES)
    mean, half = float(drawn._mean), float(drawn._ci)  # its only names for them
    return Measured(value=value, low=max(0.0, min(mean - half, value)), high=max(mean + half, value))


def _rouge(texts: Sequence[str], references: Sequence[str]) -> dict[str, Measured]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGE.values()), use_stemmer=True)
    rows = [scorer.score(reference, text) for reference, text in zip(references, texts, strict=True)]
    return {name: _mean([100 * row[theirs].fmeasure for row in rows]) for name, theirs in ROUGE.items()}


def _mean(values: Sequence[float]) -> Measured:
    mean = math.fsum(values) / len(values)
    if len(values) < FEWEST:
        return Measured(value=mean)
    found = np.array(values)
    rng = np.random.default_rng(SEED)
    replicates = found[rng.integers(0, len(found), (REPLICATES, len(found)))].mean(axis=1)
    low, high = np.quantile(replicates, (0.025, 0.975))
    return Measured(value=mean, low=min(float(low), mean), high=max(float(high), mean))
