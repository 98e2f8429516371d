from __future__ import annotations

import pytest

from quickthaw_platform.checkpoints.remote.ranges import SignedUrls


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in one element."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_an_object_is_signed_once_and_again_in_good_time(clock: list[float]) -> None:
    signed: list[str] = []

    def sign(key: str) -> str:
        signed.append(key)
        return f"http://host/{key}?signature={len(signed)}"

    urls = SignedUrls(sign, seconds=600)
    assert [urls.of("a").query, urls.of("b").query] == ["signature=1", "signature=2"]
    clock[0] += 300
    assert urls.of("a").query == "signature=1"
    clock[0] += 1
    assert urls.of("a").query == "signature=3"
    assert signed == ["a", "b", "a"]
