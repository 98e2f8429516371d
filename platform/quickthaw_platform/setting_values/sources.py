"""What of the environment and of a file counts as a setting: not what is empty, and not Kubernetes' service links.

A Service of Kubernetes whose name begins with `quickthaw` gives every pod of its namespace variables that look like our
settings: QUICKTHAW_PORT=tcp://10.96.0.7:8080, QUICKTHAW_REDIS_SERVICE_HOST and more. Nobody set them for us.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

_LINKED_ADDRESS = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)
_LINKED_NAME = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")

_OF_LIBRARIES = ("AWS_", "CELERY_", "GUNICORN_", "HF_", "OTEL_", "PROMETHEUS_", "WEB_CONCURRENCY")
"""What libraries of ours read. To some of them an empty text is a folder or a URL, to others no number."""


def is_blank(value: object) -> bool:
    """Whether a value is an empty text, which means that nothing was set: `X=`, as compose writes `${X:-}`."""
    return isinstance(value, str) and not value.strip()


def is_service_link(variable: str, value: object) -> bool:
    """Whether a variable is one of those that Kubernetes, and Docker's old links, set for each service.

    `…_PORT` is one only where its value is an address such as tcp://10.96.0.7:8080: a number there is a setting, or a
    misspelt one.
    """
    if variable.upper().endswith("_PORT") and _LINKED_ADDRESS.match(str(value)):
        return True
    return _LINKED_NAME.search(variable.upper()) is not None


def forget_blank(environment: MutableMapping[str, str], prefix: str) -> None:
    """Remove the empty ones of our variables and of the libraries', for this process and those that it starts."""
    blank = [name for name, value in environment.items() if is_blank(value)]
    for name in blank:
        if name.startswith((prefix, *_OF_LIBRARIES)):
            del environment[name]


def service_links(environment: Mapping[str, str], prefix: str) -> list[str]:
    """Return the names of all service links that begin with our prefix, sorted."""
    return sorted(
        name for name, value in environment.items() if name.startswith(prefix) and is_service_link(name, value)
    )


def unknown(environment: Mapping[str, str], prefix: str, known: frozenset[str]) -> list[str]:
    """Return the variables with our prefix that hold something and mean nothing to anybody, sorted."""
    return sorted(
        name
        for name, value in environment.items()
        if name.startswith(prefix) and name not in known and not is_blank(value) and not is_service_link(name, value)
    )


class Given(PydanticBaseSettingsSource):
    """A source without what is blank and without what `unwanted` (name of the setting, value) says is not meant."""

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        source: PydanticBaseSettingsSource,
        unwanted: Callable[[str, object], bool] = lambda _name, _value: False,
    ) -> None:
        super().__init__(settings_cls)
        self._source = source
        self._unwanted = unwanted

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return what the wrapped source has of one field."""
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        """Return the values that were given."""
        return {
            name: value
            for name, value in self._source().items()
            if not is_blank(value) and not self._unwanted(name, value)
        }
