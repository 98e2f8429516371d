"""Frames between agent, zygote, template and instance: a big-endian u32 length, then a msgpack map with the key `t`.

File descriptors travel beside a frame by SCM_RIGHTS, in the order in which the frames that need them were sent.
"""

from __future__ import annotations

import array
import itertools
import os
import queue
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgpack

MAX_FRAME_BYTES = 64 << 20
BYTES_OF_A_PART = 12
"""A frame has at most one list or map for so many bytes that it may have: fewer make up no JSON of that length, where a
character takes four. Unpacked, a map of one byte takes 64, so that a frame could take a hundred times its length.
"""

SMALL_BYTES = 64 << 10
"""A frame of so few bytes takes little memory, whatever is in it; its parts are not counted."""

READ_BYTES = 64 << 10
"""Small enough that the C library takes the buffer from its heap; a larger one would be mapped anew for each read."""

MAX_FDS = 250
"""Descriptors beside one message; the kernel takes 253."""

_LENGTH = struct.Struct(">I")

Frame = dict[str, Any]


class ProtocolError(Exception):
    """The peer sent what is not a frame; nothing later on the socket can be trusted."""


def encode(frame: Frame) -> bytes:
    """Return the frame's bytes. Raises TypeError or ValueError for values that msgpack cannot carry."""
    body: bytes = msgpack.packb(frame, use_bin_type=True)
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Cuts a byte stream into frames."""

    def __init__(self, most_bytes: int = MAX_FRAME_BYTES) -> None:
        """`most_bytes`: of one frame."""
        self._most_bytes = most_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes and return the frames that are complete. Raises ProtocolError."""
        self._buffer += data
        complete: list[Frame] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > self._most_bytes:
                raise ProtocolError(f"a frame of {length:,} bytes; at most {self._most_bytes:,} are allowed")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            complete.append(_decode(bytes(self._buffer[start + _LENGTH.size : end]), self._most_bytes))
            start = end
        del self._buffer[:start]
        return complete


def _decode(body: bytes, most_bytes: int) -> Frame:
    count = None if len(body) <= SMALL_BYTES else _counting(most_bytes // BYTES_OF_A_PART)
    try:
        frame = msgpack.unpackb(body, strict_map_key=False, list_hook=count, object_hook=count)
    except ProtocolError:
        raise
    except Exception as error:
        raise ProtocolError(f"not msgpack: {error}") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("t"), str):
        raise ProtocolError("a frame must be a map with the key 't'")
    return frame


def _counting(most: int) -> Callable[[Any], Any]:
    """Return a function that returns what it is given, and refuses that after so many times."""
    given = itertools.count(1)

    def take(part: Any) -> Any:
        if next(given) > most:
            raise ProtocolError(f"a frame has more than {most:,} lists and maps")
        return part

    return take


def send(sock: socket.socket, frame: Frame, fds: Sequence[int] = ()) -> None:
    """Send one frame on a blocking socket, the descriptors beside its first bytes."""
    data = encode(frame)
    sock.sendall(data[send_with(sock, memoryview(data), fds) :])


def send_with(sock: socket.socket, data: memoryview, fds: Sequence[int]) -> int:
    """Send descriptors beside the first bytes of a frame on a blocking socket; return how many bytes those were."""
    sent = 0
    for start in range(0, len(fds), MAX_FDS):
        part = data[sent:] if start + MAX_FDS >= len(fds) else data[sent : sent + 1]
        sent += socket.send_fds(sock, [part], list(fds[start : start + MAX_FDS]))
    return sent


class Receiver:
    """Reads frames, and the descriptors that came with them, from a socket."""

    def __init__(
        self, sock: socket.socket, *, takes_descriptors: bool = True, most_bytes: int = MAX_FRAME_BYTES
    ) -> None:
        """Where descriptors are not taken, the kernel closes those that come. `most_bytes`: of one frame."""
        self.sock = sock
        self._fd_bytes = socket.CMSG_LEN(MAX_FDS * array.array("i").itemsize) if takes_descriptors else 0
        self._decoder = Decoder(most_bytes)
        self._fds: deque[int] = deque()

    def read(self) -> list[Frame] | None:
        """Read once and return the frames that are complete now; None at the end of the stream.

        Blocks on a blocking socket; on another it raises BlockingIOError where there is nothing.
        """
        try:
            data, ancillary, _, _ = self.sock.recvmsg(READ_BYTES, self._fd_bytes, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return None
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
                self._fds.extend(numbers)
        return self._decoder.feed(data) if data else None

    def take_fd(self) -> int:
        """Return the oldest descriptor received that nobody took. Raises ProtocolError if there is none."""
        if not self._fds:
            raise ProtocolError("a frame came without its descriptor")
        return self._fds.popleft()


class Outbox:
    """Sends frames from many threads on one blocking socket, in the order in which they are given.

    `put` sends at once: who finds the socket idle sends also what others add. `add` leaves it to a thread of the
    outbox's own, which sends what has come together, with a pause of `interval_seconds` after each time: each that
    leaves wakes the reader and all who wait behind it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._interval_seconds = 0.0
        self._waiting: deque[bytes] = deque()
        self._sending = threading.Lock()
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()  # for the outbox's thread to send
        self._resting = False  # that waits for a call, however long

    def start(self, interval_seconds: float) -> None:
        """Start the thread that sends what is added; 0: without a pause."""
        self._interval_seconds = interval_seconds
        threading.Thread(target=self._send_added, name="outbox", daemon=True).start()

    def put(self, frame: Frame) -> None:
        """Send the frame after those before it; returns when it is sent or another thread is about to send it."""
        self._waiting.append(encode(frame))
        while self._waiting and self._sending.acquire(blocking=False):
            try:
                self._send_waiting()
            finally:
                self._sending.release()

    def add(self, frame: Frame) -> None:
        """Have the frame sent soon, after those before it; never blocks. Needs `start`."""
        self._waiting.append(encode(frame))
        if self._resting:
            self._resting = False
            self._calls.put(None)

    def flush(self) -> None:
        """Send what waits; returns when all that was given before is sent, whichever thread does it."""
        while True:
            with self._sending:
                self._send_waiting()
            if not self._waiting:  # looked at again: who finds another thread at it leaves its frame to that one
                return

    def _send_added(self) -> None:
        try:
            while True:
                self._resting = True
                if not self._waiting:
                    self._calls.get()
                self._resting = False
                while self._waiting:
                    self.flush()
                    time.sleep(self._interval_seconds)
        except OSError:
            return  # the peer has gone: whoever reads the socket finds out

    def _send_waiting(self) -> None:
        while self._waiting:
            parts = [self._waiting.popleft() for _ in range(len(self._waiting))]
            self._sock.sendall(b"".join(parts) if len(parts) > 1 else parts[0])


def pair() -> tuple[socket.socket, socket.socket]:
    """Make a connected pair of stream sockets, neither of which survives an exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def close_all_fds_but(keep: set[int]) -> None:
    """Close every descriptor of this process except `keep` and the standard three."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        fd = int(entry.name)
        if fd > 2 and fd not in keep:
            try:
                os.close(fd)
            except OSError:
                continue  # the listing's own descriptor
