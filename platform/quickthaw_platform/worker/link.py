"""One end of a socket to a zygote, template or instance, served by the agent's loop."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from collections.abc import Callable, Sequence

from quickthaw_platform.worker import frames
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.loop import Loop


class Link:
    """Sends without ever blocking the loop and hands over each frame received. For the loop's thread only."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_frame: Callable[[Frame], None],
        on_close: Callable[[], None],
        *,
        most_bytes: int = frames.MAX_FRAME_BYTES,
    ) -> None:
        """`on_close` is called once, when the peer's end has closed or spoke nonsense; not after `close`. A frame of
        more than `most_bytes` is nonsense.
        """
        sock.setblocking(False)
        self._loop = loop
        self._sock = sock
        # Nobody has descriptors to give to the agent.
        self._receiver = frames.Receiver(sock, takes_descriptors=False, most_bytes=most_bytes)
        self._on_frame = on_frame
        self._on_close = on_close
        self._unsent: deque[memoryview] = deque()
        self.closed = False
        self.fault: str | None = None  # why what the peer sent is nonsense, where it was
        loop.watch(sock.fileno(), self._ready)

    def send(self, frame: Frame, fds: Sequence[socket.socket | int] = ()) -> None:
        """Send a frame, and descriptors beside it; on a closed link it is dropped (the close says more)."""
        if self.closed:
            return
        data = memoryview(frames.encode(frame))
        try:
            if fds:
                data = data[self._send_with(data, fds) :]
            if data:
                self._unsent.append(data)
                self._flush()
        except OSError:
            self._fail()

    def drain(self) -> None:
        """Hand over what the peer sent before it died."""
        self._read()

    def close(self) -> None:
        """Close this end; idempotent."""
        if not self.closed:
            self.closed = True
            self._loop.unwatch(self._sock.fileno())
            self._sock.close()

    def _send_with(self, data: memoryview, fds: Sequence[socket.socket | int]) -> int:
        """Send the first bytes with the descriptors. What is unsent before them goes first, or order would be lost."""
        numbers = [fd if isinstance(fd, int) else fd.fileno() for fd in fds]
        self._sock.setblocking(True)  # the peer of such a link reads whenever it is not forking: this is short
        try:
            while self._unsent:
                self._sock.sendall(self._unsent.popleft())
            return frames.send_with(self._sock, data, numbers)
        finally:
            self._sock.setblocking(False)

    def _flush(self) -> None:
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent[0])
            except BlockingIOError:
                break
            if sent == len(self._unsent[0]):
                self._unsent.popleft()
            else:
                self._unsent[0] = self._unsent[0][sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        self._loop.watch(self._sock.fileno(), self._ready, events)

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            try:
                self._flush()
            except OSError:
                self._fail()
        if events & selectors.EVENT_READ:
            self._read(once=True)

    def _read(self, *, once: bool = False) -> None:
        while not self.closed:
            try:
                received = self._receiver.read()
            except BlockingIOError:
                return
            except frames.ProtocolError as error:
                self.fault = str(error)
                received = None
            except OSError:
                received = None
            if received is None:
                self._fail()
                return
            for frame in received:
                self._on_frame(frame)
            if once:
                return

    def _fail(self) -> None:
        if not self.closed:
            self.close()
            self._on_close()
