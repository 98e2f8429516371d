"""gunicorn's own lines, written as ours are: JSON, throttled, and in the file that now has the log's path."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from quickthaw_platform.metering import logs


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn is untyped
    """Hands gunicorn's lines to the root logger."""

    def setup(self, cfg: Any) -> None:
        """Set up our logs, and let gunicorn's go there."""
        super().setup(cfg)
        logs.configure(cfg.loglevel, "gateway")
        self.error_log.handlers.clear()
        self.error_log.propagate = True
