"""Perplexities that others have published, each with its protocol and where it was read: `published.toml`."""

from __future__ import annotations

import datetime as dt
import tomllib
from functools import cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FILE = "published.toml"

Text = Annotated[str, Field(min_length=1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Published(_Record):
    """A figure that was read somewhere. It was not measured here, and nothing else here vouches for it."""

    model: Text
    stored_as: Text | None = Field(None, description="type of the weights; None: not said")
    protocol: Literal["hf", "gptq", "lm-eval", "llamacpp", "paper"] = Field(description="paper: a protocol of its own")
    settings: Text
    perplexity: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    source: Text
    url: Annotated[str, Field(pattern=r"^https://")]


class PublishedFigures(_Record):
    """All of the file, and the day on which the sources were read."""

    read: dt.date
    figures: tuple[Published, ...] = Field(min_length=1)


@cache
def published() -> PublishedFigures:
    """Return the published figures, in the file's order."""
    text = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return PublishedFigures.model_validate(tomllib.loads(text))
