"""Notice that a client has hung up while nothing is being written to it."""

from __future__ import annotations

import _socket
from collections.abc import Mapping
from typing import Any


def hung_up(environ: Mapping[str, Any]) -> bool:
    """Whether the client of this WSGI request has closed its connection; False where the server does not tell.

    Looks at the socket without taking from it: nothing there to read and no error is a client that waits, an end of
    file one that has gone. Uses the C socket, since gevent's would wait until something comes.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None:
        return False
    try:
        handle = connection.fileno()
        if handle < 0:
            return True
        probe = _socket.socket(fileno=handle)
    except OSError:
        return True
    try:
        return probe.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        probe.detach()
