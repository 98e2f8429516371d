"""Names and ids in paths. What nothing can be called is answered as what is not there, before it is looked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ModelWrapValidatorHandler, ValidationError, model_validator

from quickthaw.types import NAME_PATTERN
from quickthaw_platform.errors import NotFound, QuickthawError

MODEL_PATTERN = f"{NAME_PATTERN[:-1]}(:[a-z0-9][a-z0-9._-]{{0,62}})?$"
"""A function's name, and behind a colon that of an alias."""

INSTANCE_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,71}$"
"""The function's name and some digits: see router.allocator."""

INVOCATION_PATTERN = r"^[0-9a-f]{32}$"
KEY_ID_PATTERN = r"^[0-9a-f]{12}$"
RESPONSE_PATTERN = r"^resp_[0-9a-f]{32}$"
COMPLETION_PATTERN = r"^chatcmpl-[0-9a-f]{32}$"

_SHOWN_CHARACTERS = 100


class NamingPath(BaseModel):
    """Parts of a path that name things, each by its pattern."""

    refusals: ClassVar[Mapping[str, type[QuickthawError]]] = {}
    """By part, the error for a name that no thing of the kind can have; NotFound where there is none of its own."""

    @model_validator(mode="wrap")
    @classmethod
    def _may_be_there(cls, parts: Any, read: ModelWrapValidatorHandler[NamingPath]) -> NamingPath:
        try:
            return read(parts)
        except ValidationError as error:
            found = error.errors()[0]
            part, shown = str(found["loc"][-1]), str(found["input"])[:_SHOWN_CHARACTERS]
            meant = cls.model_fields[part].description
            refusal = cls.refusals.get(part, NotFound)
            raise refusal(f"{shown!r} cannot be the {meant}: {found['msg']}", param=part) from error
