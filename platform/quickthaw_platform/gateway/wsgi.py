"""The application that gunicorn serves: `quickthaw_platform.gateway.wsgi:app`, made in each worker after patching."""

from __future__ import annotations

from quickthaw_platform import collecting
from quickthaw_platform.gateway.app import create_app
from quickthaw_platform.metering import logs, tracing
from quickthaw_platform.redis_client import GATEWAY_CONNECTIONS, connect
from quickthaw_platform.redis_roles import Role, settings_of
from quickthaw_platform.worker.celery_app import make_app

_settings = settings_of(Role.GATEWAY)
logs.configure(_settings.log_level, "gateway")
app = create_app(_settings, connect(_settings, GATEWAY_CONNECTIONS), make_app(_settings), tracing.configure("gateway"))
collecting.started()
