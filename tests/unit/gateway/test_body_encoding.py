"""Bodies that are sent compressed."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from flask.testing import FlaskClient

BODY = json.dumps({"input": {"prompt": "hi"}}).encode()
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
RAW_BODY = RAW.compress(BODY) + RAW.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY[:5]) + gzip.compress(BODY[5:])),  # files one after another
        ("deflate", zlib.compress(BODY)),
        ("deflate", RAW_BODY),  # without zlib's header, as some clients have it
        ("deflate, gzip", gzip.compress(zlib.compress(BODY))),
        ("identity", BODY),
        ("", BODY),
    ],
    ids=["gzip", "x-gzip", "gzip twice", "deflate", "raw deflate", "deflate then gzip", "identity", "not told"],
)
def test_a_compressed_body_is_read(client: FlaskClient, encoding: str, body: bytes) -> None:
    answer = client.post("/v1/functions/chat/invoke", data=body, headers={"Content-Encoding": encoding})
    assert answer.status_code == 200, answer.data


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "gzip, gzip, gzip"])
def test_what_cannot_be_unpacked_is_named(client: FlaskClient, encoding: str) -> None:
    answer = client.post("/v1/functions/chat/invoke", data=b"x", headers={"Content-Encoding": encoding})
    assert answer.status_code == 415
    assert answer.headers["Accept-Encoding"] == "gzip, deflate"
    assert answer.get_json()["error"]["code"] == "unsupported_media_type"
    assert "Content-Encoding" in answer.get_json()["error"]["message"]


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_refused_with_the_settings_name(client: FlaskClient, layers: int) -> None:
    body = b" " * (32 << 20)
    for _ in range(layers):
        body = gzip.compress(body)
    answer = client.post(
        "/v1/functions/chat/invoke", data=body, headers={"Content-Encoding": ",".join(["gzip"] * layers)}
    )
    assert answer.status_code == 413
    assert "unpacked" in answer.get_json()["error"]["message"]
    assert "max_body" in answer.get_json()["error"]["message"]


@pytest.mark.parametrize(
    ("encoding", "body", "says"),
    [
        ("gzip", BODY, "is not gzip"),
        ("gzip", gzip.compress(BODY)[:-9], "cut short"),
        ("deflate", b"\xff\xff", "is not deflate"),
    ],
    ids=["not gzip", "cut gzip", "not deflate"],
)
def test_a_broken_body_is_refused(client: FlaskClient, encoding: str, body: bytes, says: str) -> None:
    answer = client.post("/v1/functions/chat/invoke", data=body, headers={"Content-Encoding": encoding})
    assert answer.status_code == 400
    assert says in answer.get_json()["error"]["message"]
