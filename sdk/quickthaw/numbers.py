"""Numbers in requests: `true` and `false`, which Python takes for 1 and 0, are none."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


Integer = Annotated[int, BeforeValidator(_no_boolean)]
Number = Annotated[float, BeforeValidator(_no_boolean)]
