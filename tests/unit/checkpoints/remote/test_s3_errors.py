"""What becomes of the errors of boto3, and where its client goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber

from quickthaw_platform.checkpoints.remote.s3 import S3Store, make_client
from quickthaw_platform.errors import RemoteDenied, RemoteError, RemoteMissing, RemoteUnavailable


@pytest.fixture
def stubbed() -> Iterator[tuple[S3Store, Stubber]]:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret")
    store = S3Store("bucket", "prefix", client)
    with Stubber(client) as stubber:
        yield store, stubber
    store.close()


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("404", 404, RemoteMissing),  # HEAD has no body that would say more
        ("NoSuchBucket", 404, RemoteMissing),
        ("403", 403, RemoteDenied),
        ("AccessDenied", 403, RemoteDenied),
        ("InvalidAccessKeyId", 403, RemoteDenied),
        ("ExpiredToken", 400, RemoteDenied),
        ("SlowDown", 503, RemoteUnavailable),  # after boto3's own tries
        ("InternalError", 500, RemoteUnavailable),
    ],
)
def test_each_answer_has_its_error_which_names_the_object(
    stubbed: tuple[S3Store, Stubber], tmp_path: Path, code: str, status: int, error: type[RemoteError]
) -> None:
    store, stubber = stubbed
    (tmp_path / "file").write_bytes(b"x")
    calls: list[tuple[str, Callable[[], object]]] = [
        ("head_object", lambda: store.head("a/b")),
        ("list_objects_v2", lambda: store.list("a/b")),
        ("put_object", lambda: store.put("a/b", b"x")),
        ("put_object", lambda: store.put("a/b", tmp_path / "file")),
        ("delete_object", lambda: store.delete("a/b")),
    ]
    for operation, act in calls:
        stubber.add_client_error(operation, code, http_status_code=status)
        with pytest.raises(error, match="s3://bucket/prefix/a/b"):
            act()


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (NoCredentialsError(), RemoteDenied),
        (EndpointConnectionError(endpoint_url="http://host"), RemoteUnavailable),
    ],
)
def test_what_goes_wrong_before_an_answer(
    stubbed: tuple[S3Store, Stubber], raised: Exception, error: type[RemoteError]
) -> None:
    store, _ = stubbed

    def fail(**_: Any) -> None:
        raise raised

    store._client.meta.events.register("provide-client-params.s3.HeadObject", fail)
    with pytest.raises(error, match="s3://bucket/prefix/a"):
        store.head("a")


def test_every_page_is_listed_without_the_prefix_and_folders(stubbed: tuple[S3Store, Stubber]) -> None:
    store, stubber = stubbed
    asked = {"Bucket": "bucket", "Prefix": "prefix/a"}
    entry = {"Size": 1, "ETag": '"1"'}
    first = {"Contents": [{"Key": "prefix/a/", **entry}, {"Key": "prefix/a/1", **entry}]}
    more = {"IsTruncated": True, "NextContinuationToken": "next"}
    stubber.add_response("list_objects_v2", first | more, asked)
    second = {"Contents": [{"Key": "prefix/a/2", **entry}]}
    stubber.add_response("list_objects_v2", second, asked | {"ContinuationToken": "next"})
    assert [found.key for found in store.list("a")] == ["a/1", "a/2"]


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (None, "https://bucket.s3.amazonaws.com/key?"),  # AWS
        ("http://minio:9000", "http://minio:9000/bucket/key?"),  # any other has no name for each bucket
    ],
)
def test_a_bucket_is_addressed_as_its_endpoint_wants_it(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None, url: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    if endpoint is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    client = make_client()
    signed = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"})
    client.close()
    assert signed.startswith(url)
