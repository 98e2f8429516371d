"""The limits of an invocation as a deploy names them: `timeout`, `start_timeout` and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quickthaw import calls
from quickthaw.errors import InvalidRequest
from quickthaw.types import Limits

FIELDS = {
    "timeout": "total",
    "start_timeout": "start",
    "first_token_timeout": "first_token",
    "token_timeout": "between_tokens",
}


def limits_of(options: Mapping[str, Any]) -> Limits:
    """Return the limits that options name; InvalidRequest says of one that cannot be which option it was."""
    try:
        return calls.request(
            Limits, **{field: options[option] for option, field in FIELDS.items() if option in options}
        )
    except InvalidRequest as error:
        option = next(option for option, field in FIELDS.items() if field == error.param)
        said = error.message.removeprefix(f"{error.param}: ")
        raise InvalidRequest(f"{option}: {said}", param=option) from error
