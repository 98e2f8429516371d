"""An S3 bucket (AWS, MinIO, SeaweedFS) as a remote store.

Credentials, region and endpoint come through boto3's usual chain (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL_S3, ~/.aws, …).
Data is not read through boto3, whose streams copy it twice: see `ranges`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from quickthaw.proxies import proxy_for
from quickthaw_platform.checkpoints.remote.bounded_answers import bound_answers
from quickthaw_platform.checkpoints.remote.ranges import RangeReader, SignedUrls
from quickthaw_platform.contracts import RemoteObject
from quickthaw_platform.errors import RemoteDenied, RemoteError, RemoteMissing, RemoteUnavailable

TRIES = 5
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
SIGNED_SECONDS = 600
"""Short, since a signature dies with its credentials, and boto3 uses temporary ones until ten minutes before that."""

PART_BYTES = 32 << 20

MAX_OBJECTS = 200_000
"""In a store: a listing is kept in memory, and a server that lies could go on for ever."""

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
_DENIED = frozenset({"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"})


class S3Store:
    """Implements `contracts.RemoteStore`; keys are below `prefix`."""

    def __init__(self, bucket: str, prefix: str = "", client: Any = None) -> None:
        """`client` is a boto3 client of S3; None: one of the default session."""
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        with self._mapped(""):
            self._client = client or make_client()
        bound_answers(self._client)
        urls = SignedUrls(self._sign, SIGNED_SECONDS)
        self._ranges = RangeReader(
            urls,
            tries=TRIES,
            connect_seconds=CONNECT_SECONDS,
            read_seconds=READ_SECONDS,
            ca_bundle=boto3.session.Session()._session.get_config_variable("ca_bundle"),
        )

    def list(self, prefix: str = "") -> list[RemoteObject]:
        """Return the objects whose keys begin with `prefix`."""
        pages = self._client.get_paginator("list_objects_v2")
        with self._mapped(prefix):
            found: list[RemoteObject] = []
            for number, page in enumerate(pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)):
                if len(found) + number > MAX_OBJECTS:
                    raise RemoteUnavailable(f"{self.url} lists more than {MAX_OBJECTS:,} objects; use a deeper prefix")
                found += [
                    RemoteObject(entry["Key"].removeprefix(self._prefix), entry["Size"], entry["ETag"])
                    for entry in page.get("Contents", ())
                    if not entry["Key"].endswith("/")  # what consoles make to show a folder
                ]
        return found

    def head(self, key: str) -> RemoteObject:
        """Return an object's size and etag."""
        with self._mapped(key):
            found = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
            return RemoteObject(key, found["ContentLength"], found["ETag"])

    def get_range(self, found: RemoteObject, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        """Fill `into` from `begin` on."""
        self._ranges.read(found, begin, into, stop)

    def put(self, key: str, source: Path | bytes) -> RemoteObject:
        """Write an object; a large file goes in parts, several at once."""
        name = self._prefix + key
        with self._mapped(key):
            if isinstance(source, bytes):
                self._client.put_object(Bucket=self._bucket, Key=name, Body=source)
            else:
                config = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
                self._client.upload_file(str(source), self._bucket, name, Config=config)
        return self.head(key)

    def delete(self, key: str) -> None:
        """Remove an object."""
        with self._mapped(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def close(self) -> None:
        """Close the connections."""
        self._ranges.close()
        self._client.close()

    def _sign(self, key: str) -> str:
        with self._mapped(key):
            url: str = self._client.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": self._prefix + key}, ExpiresIn=SIGNED_SECONDS
            )
        return url

    @contextlib.contextmanager
    def _mapped(self, key: str) -> Iterator[None]:
        """Turn boto3's errors into ours."""
        where = f"{self.url}/{key}".rstrip("/")
        try:
            yield
        except ClientError as error:
            raise _of_code(where, _code(error), error) from error
        except NoCredentialsError as error:
            raise RemoteDenied(f"{where}: no credentials; set AWS_ACCESS_KEY_ID or ~/.aws/credentials") from error
        except S3UploadFailedError as error:
            cause = error.__context__
            code = _code(cause) if isinstance(cause, ClientError) else ""
            raise _of_code(where, code, error) from error
        except BotoCoreError as error:
            raise RemoteUnavailable(f"{where}: {error}") from error
        except KeyError as error:
            raise RemoteUnavailable(f"{where}: the store's answer lacks {error}") from error


def make_client() -> Any:
    """Make a client of boto3's default session that addresses buckets by path where the endpoint is not AWS'."""
    session = boto3.session.Session()
    region = session.region_name or "us-east-1"
    client: Any = session.client("s3", region_name=region, config=_config("auto"))
    endpoint: str = client.meta.endpoint_url
    addressing: Literal["auto", "path"] = "auto" if endpoint.endswith("amazonaws.com") else "path"
    config = _config(addressing, _proxies(endpoint))
    return session.client("s3", region_name=region, config=config.merge(_checksums(session)))


def _checksums(session: boto3.session.Session) -> Config:
    """Send and check boto3's own checksums only where S3 demands them, unless AWS' configuration says otherwise.

    Other stores answer its newer default, in trailers of a chunked body, with 501. Every chunk of a checkpoint has a
    checksum of ours.
    """
    names = ("request_checksum_calculation", "response_checksum_validation")
    set_by_user = {name for name in session._session.get_scoped_config() if name in names}
    set_by_user |= {name for name in names if os.environ.get(f"AWS_{name.upper()}", "").strip()}
    chosen: dict[str, Any] = {name: "when_required" for name in names if name not in set_by_user}
    return Config(**chosen)


def _proxies(endpoint: str) -> dict[str, str]:
    proxy = proxy_for(endpoint)
    return {} if proxy is None else {urlsplit(endpoint).scheme: proxy.url}


def _config(addressing: Literal["auto", "path"], proxies: dict[str, str] | None = None) -> Config:
    return Config(
        proxies=proxies,
        signature_version="s3v4",
        s3={"addressing_style": addressing},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        max_pool_connections=32,
    )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _of_code(where: str, code: str, error: Exception) -> RemoteError:
    if code in _MISSING:
        return RemoteMissing(f"there is no {where} ({code})")
    if code in _DENIED:
        return RemoteDenied(f"{where} may not be used with these credentials ({code})")
    return RemoteUnavailable(f"{where}: {error}")
