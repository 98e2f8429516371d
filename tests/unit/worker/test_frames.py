"""Frames: cut anywhere, with descriptors beside them, from many threads."""

from __future__ import annotations

import os
import queue
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform.worker import frames

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FRAMES = st.dictionaries(st.text(min_size=1), VALUES, max_size=3).map(lambda body: body | {"t": "x"})


@given(sent=st.lists(FRAMES, max_size=4), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_frames_arrive_whole_however_the_stream_is_cut(sent: list[frames.Frame], sizes: list[int]) -> None:
    data = b"".join(frames.encode(frame) for frame in sent)
    decoder = frames.Decoder()
    received: list[frames.Frame] = []
    at = step = 0
    while at < len(data):
        size = sizes[step % len(sizes)]
        received += decoder.feed(data[at : at + size])
        at, step = at + size, step + 1
    assert received == sent


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", frames.MAX_FRAME_BYTES + 1),  # longer than any frame may be
        struct.pack(">I", 1) + b"\xc1",  # no msgpack
        struct.pack(">I", 1) + b"\x01",  # a number
        struct.pack(">I", 1) + b"\x80",  # a map without t
    ],
)
def test_what_is_no_frame_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(frames.ProtocolError):
        list(frames.Decoder().feed(data))


@pytest.mark.parametrize(("part", "lists_and_maps"), [([], 1), ({}, 1), ({"a": [1]}, 2)])
def test_a_frame_has_no_more_lists_and_maps_than_its_bytes_can_mean(part: object, lists_and_maps: int) -> None:
    most_bytes = 20_000 * frames.BYTES_OF_A_PART
    large = {"t": "x", "text": "x" * frames.SMALL_BYTES}
    fits = {**large, "parts": [part] * (19_998 // lists_and_maps)}
    assert frames.Decoder(most_bytes).feed(frames.encode(fits)) == [fits]
    with pytest.raises(frames.ProtocolError, match=r"more than 20,000 lists and maps"):
        frames.Decoder(most_bytes).feed(frames.encode({**large, "parts": [part] * 20_000}))


def test_descriptors_arrive_with_their_frames_in_order() -> None:
    ours, theirs = frames.pair()
    with ours, theirs:
        pipes = [os.pipe() for _ in range(2)]
        for number, (_, writer) in enumerate(pipes):
            frames.send(ours, {"t": "take", "number": number}, [writer])
        receiver = frames.Receiver(theirs)
        received: list[frames.Frame] = []
        while len(received) < 2:
            received += receiver.read() or []
        for number, (reader, writer) in enumerate(pipes):
            os.close(writer)
            fd = receiver.take_fd()
            os.write(fd, b"%d" % number)
            os.close(fd)
            assert os.read(reader, 9) == b"%d" % number
            os.close(reader)
        with pytest.raises(frames.ProtocolError):
            receiver.take_fd()


def test_the_end_of_the_stream_is_none() -> None:
    ours, theirs = frames.pair()
    ours.close()
    with theirs:
        assert frames.Receiver(theirs).read() is None


def test_an_outbox_keeps_each_threads_order() -> None:
    ours, theirs = frames.pair()
    outbox = frames.Outbox(ours)

    def send(name: str) -> None:
        for number in range(300):
            outbox.put({"t": name, "number": number})

    threads = [threading.Thread(target=send, args=(name,)) for name in "abcd"]
    with ours, theirs:
        for thread in threads:
            thread.start()
        receiver = frames.Receiver(theirs)
        received: list[frames.Frame] = []
        while len(received) < 1200:
            received += receiver.read() or []
        for thread in threads:
            thread.join()
    for name in "abcd":
        assert [frame["number"] for frame in received if frame["t"] == name] == list(range(300))


def test_an_outbox_sends_what_is_added_in_order_with_what_is_put() -> None:
    ours, theirs = frames.pair()
    outbox = frames.Outbox(ours)
    with ours, theirs:
        outbox.add({"t": "added", "number": 0})  # it waits for the thread, or for what is put behind it
        outbox.put({"t": "put", "number": 1})
        outbox.start(0.0)
        for number in range(2, 300):
            outbox.add({"t": "added", "number": number})
        receiver = frames.Receiver(theirs)
        received: list[frames.Frame] = []
        while len(received) < 300:
            received += receiver.read() or []
    assert [frame["number"] for frame in received] == list(range(300))


def test_what_is_added_within_an_interval_leaves_together(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: queue.SimpleQueue[float] = queue.SimpleQueue()
    go_on = threading.Semaphore(0)

    def pause(seconds: float) -> None:
        pauses.put(seconds)
        go_on.acquire()

    monkeypatch.setattr("quickthaw_platform.worker.frames.time.sleep", pause)
    ours, theirs = frames.pair()
    outbox = frames.Outbox(ours)
    with ours, theirs:
        receiver = frames.Receiver(theirs)
        outbox.start(0.5)
        outbox.add({"t": "a"})
        assert receiver.read() == [{"t": "a"}]
        assert pauses.get() == 0.5
        outbox.add({"t": "b"})
        outbox.add({"t": "c"})
        go_on.release()
        assert receiver.read() == [{"t": "b"}, {"t": "c"}]
        pauses.get()
        go_on.release(2)
