"""A server that speaks S3 for tests, and data roots in its buckets as several machines see them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from alp_assets.home import data_root
from alp_assets.store import base
from alp_assets.store.bucket import Bucket


@dataclass(frozen=True)
class Server:
    """Where the server listens."""

    endpoint: str

    def bucket(self, name: str) -> Bucket:
        """A bucket, made where there is none, for a look past the stores."""
        bucket = Bucket(f"s3://{name}/root")
        if name not in {item["Name"] for item in bucket._fs.call_s3("list_buckets")["Buckets"]}:
            bucket._fs.call_s3("create_bucket", Bucket=name)
        return bucket


@contextmanager
def running() -> Iterator[Server]:
    """A server, and the environment that leads to it."""
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALP_S3_ENDPOINT", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield Server(f"http://{host}:{port}")
    server.stop()


@contextmanager
def machine(bucket: str, cache: Path, registry: Path, **more: str) -> Iterator[Path]:
    """The data root of a bucket as a machine with this cache sees it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALP_DATA", f"s3://{bucket}/root")
        patch.setenv("ALP_CACHE", str(cache))
        patch.setenv("ALP_REGISTRY_URL", f"sqlite:///{registry}")
        for name, value in more.items():
            patch.setenv(name, value)
        base._store.cache_clear()
        yield data_root()
    base._store.cache_clear()
