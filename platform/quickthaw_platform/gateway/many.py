"""Lists in requests that may be as long as a body: read up to the first element that is wrong."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import Field

T = TypeVar("T")

Many = Annotated[list[T], Field(fail_fast=True)]
"""Else each wrong element is a finding of its own, and half a million take seconds in which nobody else is served."""
