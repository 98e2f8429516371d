"""Server-sent events: bytes in, events out. Follows the HTML standard, section "Parsing an event stream"."""

from __future__ import annotations

from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. `id` is None where this event itself carries none (the standard would repeat the last one)."""

    event: str
    data: str
    id: str | None = None


class SSEParser:
    """Takes the body in pieces of any size and returns each event when the blank line after it has come."""

    def __init__(self) -> None:
        self._tail: list[bytes] = []  # pieces of a line whose end has not come
        self._after_cr = False  # a line feed that comes next belongs to the carriage return before it
        self._first_line = True
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that this piece completes."""
        return [event for line in self._lines(chunk) if (event := self._take(line)) is not None]

    def _lines(self, chunk: bytes) -> list[bytes]:
        """Cut at CR, LF and CRLF, also where a piece ends between the two."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *lines, rest = _cut(chunk)
        if not lines:
            self._tail.append(rest)
            return []
        lines[0] = b"".join((*self._tail, lines[0]))
        self._tail = [rest] if rest else []
        return lines

    def _take(self, line: bytes) -> ServerSentEvent | None:
        if self._first_line:
            line = line.removeprefix(_BOM)
            self._first_line = False
        if not line:
            return self._dispatch()
        field, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._event = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        event, data, id_ = self._event or "message", self._data, self._id
        self._event, self._data, self._id = "", [], None
        return ServerSentEvent(event, "\n".join(data), id_) if data else None


def _cut(chunk: bytes) -> list[bytes]:
    """Split at line ends; the last item is what follows the last of them."""
    lines = chunk.splitlines()  # for bytes: exactly CR, LF and CRLF
    return [*lines, b""] if chunk.endswith((b"\n", b"\r")) else lines
