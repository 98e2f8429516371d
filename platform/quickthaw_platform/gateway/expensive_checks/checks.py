"""What is checked of inputs and sources: at once where that is cheap, else in processes that may be killed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quickthaw.errors import from_json
from quickthaw.types import FunctionSpec, Handler, Version
from quickthaw_platform.errors import InvalidRequest, InvalidSource
from quickthaw_platform.gateway.expensive_checks.cost import is_cheap, is_small
from quickthaw_platform.gateway.killable import HelperLost, HelperOverran
from quickthaw_platform.gateway.killable_pool import KillablePool
from quickthaw_platform.gateway.turns import give_way
from quickthaw_platform.gateway.validation import check_input, fits_built_in

PROCESSES = 2
MAX_WAIT_SECONDS = 20.0
"""A process ends itself after two seconds of computing; on a crowded machine the clock may say more."""

REMEMBERED = 4096
"""Versions of which it is known whether their schema is cheap."""

_MODULE = "quickthaw_platform.gateway.expensive_checks.process"


class ExpensiveChecks:
    """Any thread may ask."""

    def __init__(self) -> None:
        self._pool = KillablePool(_MODULE, PROCESSES, MAX_WAIT_SECONDS)
        self._cheap: dict[str, bool] = {}  # by id of the version

    def check_input(self, version: Version, sent: Mapping[str, Any]) -> None:
        """Raise InvalidRequest, naming the field, where an input does not fit the parameters of its function."""
        handler = version.spec.handler
        if handler is None and fits_built_in(sent):
            return
        parameters = None if handler is None else handler.parameters
        if is_small(sent) and (handler is None or self._is_cheap(version.id, handler)):
            check_input(version.function, parameters, sent)
            return
        refused = InvalidRequest(
            "it takes more than two seconds of computing, or too much memory, to check the input against the "
            f"parameters' schema of {version.function!r}; send less, or have the schema simplified",
            param="input",
        )
        self._ask("input", refused, version.function, parameters, sent)

    def check_source(self, spec: FunctionSpec) -> None:
        """Raise InvalidSource or InvalidRequest where a bundle does not compile or its handler is not there."""
        if not spec.source and spec.handler is None:
            return
        refused = InvalidSource(
            "the source takes more than two seconds, or too much memory, to compile; make it smaller", param="source"
        )
        self._ask("source", refused, spec.model_dump(mode="json"))

    def close(self) -> None:
        """End the processes that are idle."""
        self._pool.close()

    def _is_cheap(self, version: str, handler: Handler) -> bool:
        if version not in self._cheap:
            if len(self._cheap) >= REMEMBERED:
                self._cheap.clear()
            self._cheap[version] = is_cheap(handler.parameters)
        return self._cheap[version]

    def _ask(self, task: str, refused: InvalidRequest, *arguments: object) -> None:
        try:
            give_way()
            message = json.dumps([task, arguments]).encode()
            give_way()
            answer = json.loads(self._pool.ask(message))
        except (HelperOverran, HelperLost, RecursionError) as error:
            raise refused from error
        if answer is not None:
            raise from_json(answer)
