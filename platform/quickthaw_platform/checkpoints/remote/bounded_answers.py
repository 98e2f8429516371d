"""Answers of an S3 server to boto3's requests (listings, sizes, errors), read up to a limit: boto3 itself has none."""

from __future__ import annotations

from typing import Any, Protocol

from botocore.exceptions import HTTPClientError
from urllib3.exceptions import HTTPError

MAX_ANSWER_BYTES = 8 << 20
"""A page of a listing has a thousand keys of at most 1,024 bytes each."""


class _Session(Protocol):
    """What sends a client's requests."""

    def send(self, request: Any) -> Any:
        """Return the answer."""

    def close(self) -> None:
        """Let go of connections."""


class BoundedSession:
    """Sends by way of another session. Data goes another way: see `ranges`."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def send(self, request: Any) -> Any:
        """Return the answer with its body read. Raises HTTPClientError where that is larger than an answer can be."""
        request.stream_output = True
        answer = self._session.send(request)
        answer._content = _read(answer.raw)
        return answer

    def close(self) -> None:
        """Close the other session."""
        self._session.close()


def _read(raw: Any) -> bytes:
    try:
        content: bytes = raw.read(MAX_ANSWER_BYTES + 1)
    except HTTPError as error:
        raise HTTPClientError(error=error) from error
    if len(content) > MAX_ANSWER_BYTES:
        raw.close()
        raise HTTPClientError(error=f"the answer has more than {MAX_ANSWER_BYTES:,} bytes")
    return content


def bound_answers(client: Any) -> None:
    """Have a boto3 client read no more than MAX_ANSWER_BYTES of an answer."""
    endpoint = client._endpoint
    if not isinstance(endpoint.http_session, BoundedSession):
        endpoint.http_session = BoundedSession(endpoint.http_session)
