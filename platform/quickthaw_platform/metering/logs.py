"""Structured logs: one JSON object a line on standard error, with what is bound (invocation, function, node)."""

from __future__ import annotations

import logging

import structlog

from quickthaw_platform.metering.log_file import FollowingHandler
from quickthaw_platform.metering.throttle import Throttle

CHATTY = ("botocore", "boto3", "s3transfer", "urllib3", "celery.app.trace", "celery.beat", "celery.worker.strategy")
"""Loggers that write a line for each command and each round of the controller, several a second."""

SECRETIVE = ("httpx", "httpcore")
"""Loggers that write URLs, which may hold tokens."""


def configure(level: str, process: str) -> None:
    """Send structlog and the standard library's logging to standard error as JSON; `process` names the writer."""
    number = logging.getLevelNamesMapping()[level.upper()]

    def name_process(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {"process": process, **event}

    shared: list[structlog.typing.Processor] = [
        name_process,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
    )
    handler = FollowingHandler()
    handler.addFilter(Throttle())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    quieter = max(number, logging.WARNING)
    for name in CHATTY:
        logging.getLogger(name).setLevel(number if number <= logging.DEBUG else quieter)
    for name in SECRETIVE:
        logging.getLogger(name).setLevel(quieter)
