"""The gateway's application, as its own tests have it."""

from __future__ import annotations

from tests.unit.gateway.conftest import app as app
from tests.unit.gateway.conftest import client as client
from tests.unit.gateway.conftest import client_of as client_of
from tests.unit.gateway.conftest import node as node
from tests.unit.gateway.conftest import relay as relay
from tests.unit.gateway.conftest import settings as settings
from tests.unit.gateway.conftest import shared_app as shared_app
