"""Traffic by the name that a user gives: a process, a file with its kind, or a published trace.

| written | what comes |
|---|---|
| `poisson`, `constant`, `gamma`, `bursts`, `diurnal` | a process, at `rate` |
| `azure-code`, `azure-conv` | Azure's traces of 2023; where the file is absent a synthetic one of the same statistics |
| `KIND:FILE` | a trace file: `azure:…`, `mooncake:…`, `burstgpt:…`, `csv:…`, `servegen:…` |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.findings import told
from quickthaw_platform.traffic.arrivals import PROCESSES, Arrivals, Kind
from quickthaw_platform.traffic.tokens import Lognormal, Tokens

DEFAULT_TOKENS_IN = 512
DEFAULT_TOKENS_OUT = 128
"""Of a request, where neither the trace nor the user says how long it is."""

FILE_KINDS = tuple(kind for kind in get_args(Kind) if kind not in PROCESSES)


@dataclass(frozen=True, slots=True)
class Published:
    """A published trace: its usual file names, and the statistics that a synthetic one in its place is drawn from."""

    files: tuple[str, ...]
    count: int  # requests
    rate: float  # requests/s
    cv: float  # of the gaps
    tokens_in: Lognormal
    tokens_out: Lognormal


def _files(name: str) -> tuple[str, ...]:
    stems = (f"AzureLLMInferenceTrace_{name}_2023.csv", f"AzureLLMInferenceTrace_{name}.csv")
    return tuple(stem + suffix for stem in stems for suffix in ("", ".gz"))


PUBLISHED = {
    "azure-code": Published(
        _files("code"), 8_819, 2.57, 13.15,
        tokens_in=Lognormal(mean=2047.8, sigma=0.811, most=7437),
        tokens_out=Lognormal(mean=27.9, sigma=1.313, most=1899),
    ),
    "azure-conv": Published(
        _files("conv"), 19_366, 5.53, 1.09,
        tokens_in=Lognormal(mean=1154.7, sigma=0.808, most=14050),
        tokens_out=Lognormal(mean=211.1, sigma=0.683, most=1000),
    ),
}  # fmt: skip
"""Measured on the files of Azure/AzurePublicDataset (CC BY 4.0; Patel et al., Splitwise, ISCA'24): 8,819 and 19,366
requests of 2023-11-16. Tokens are lognormal with the trace's mean and variance (sigma² = ln(1 + CV²)), cut at its
largest value; that meets median and p99 better than the moments of the logarithm do."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests to come: when, how long, and what to call it.

    `stands_for` is the published trace that is not here. A trace is drawn by its statistics then, and played as it
    would be: `arrivals` describe how it is drawn, `offset` where in it to begin.
    """

    label: str
    arrivals: Arrivals
    tokens_in: Tokens
    tokens_out: Tokens
    stands_for: Published | None = None
    offset: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def synthetic(self) -> bool:
        """Whether it is drawn in the place of a published trace."""
        return self.stands_for is not None


def traffic(
    name: str, folder: Path | None = None, tokens_in: Tokens | None = None, tokens_out: Tokens | None = None,
    **fields: Any,
) -> Traffic:  # fmt: skip
    """Find traffic by its name (see above); `folder` is where published traces are looked for.

    `fields` are those of Arrivals, None where the user says nothing. SettingsInvalid says what is wrong or missing.
    """
    given = {field: value for field, value in fields.items() if value is not None}
    if name in PUBLISHED:
        return _published(name, folder, tokens_in, tokens_out, given)
    kind, colon, path = name.partition(":")
    if colon and kind in FILE_KINDS and path:
        given |= {"kind": kind, "path": Path(path).expanduser()}
    elif not colon and kind in PROCESSES:
        given |= {"kind": kind}
    else:
        raise SettingsInvalid(
            f"there are no arrivals {name!r}; write {', '.join((*PUBLISHED, *PROCESSES))}, or KIND:FILE with a kind "
            f"of {', '.join(FILE_KINDS)}"
        )
    arrivals = _arrivals(name, given)
    traced = arrivals.tells_tokens
    return Traffic(
        name, arrivals,
        tokens_in or ("trace" if traced else DEFAULT_TOKENS_IN),
        tokens_out or ("trace" if traced else DEFAULT_TOKENS_OUT),
    )  # fmt: skip


def _published(
    name: str, folder: Path | None, tokens_in: Tokens | None, tokens_out: Tokens | None, given: dict[str, Any]
) -> Traffic:
    trace = PUBLISHED[name]
    path = next((folder / file for file in trace.files if (folder / file).is_file()), None) if folder else None
    if path is not None:
        arrivals = _arrivals(name, given | {"kind": "azure", "path": path})
        return Traffic(name, arrivals, tokens_in or "trace", tokens_out or "trace")
    if "cv" in given:
        raise SettingsInvalid(f"arrivals {name!r}: `cv` is that of the trace; use gamma arrivals for another")
    where = f"not in {folder}" if folder else "not here"
    note = f"synthetic: the trace {name} is {where}; drawn in its place with its rate, CV of gaps and tokens"
    offset = given.pop("offset", None)
    arrivals = _arrivals(name, {"rate": trace.rate} | given | {"kind": "gamma", "cv": trace.cv})
    return Traffic(
        f"{name} (synthetic)", arrivals, tokens_in or trace.tokens_in, tokens_out or trace.tokens_out, trace, offset,
        (note,),
    )  # fmt: skip


def _arrivals(name: str, fields: dict[str, Any]) -> Arrivals:
    try:
        return Arrivals.model_validate(fields)
    except ValidationError as error:
        raise SettingsInvalid(f"arrivals {name!r}: {told(error)}") from error
