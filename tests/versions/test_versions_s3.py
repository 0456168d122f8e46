"""Versions in a bucket."""

import shutil

import pytest

from alp_assets.errors import VersionRefused
from alp_assets.versions.repository import make_repository, repository_of
from alp_assets.versions.restore import restore
from alp_assets.versions.snapshot import snapshot
from alp_assets.versions.unused import find_unused
from tests.packages import tree

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(monkeypatch):
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("ALP_S3_ENDPOINT", f"http://{host}:{port}")
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="versions")
    yield "versions"
    server.stop()


def test_versions_go_to_a_bucket_and_come_back(done, quick, bucket):
    with pytest.raises(VersionRefused, match="there is no bucket elsewhere"):
        make_repository(done.data_root, "s3://elsewhere/alp")
    make_repository(done.data_root, f"s3://{bucket}/alp")
    assert snapshot(done, quick).pushed
    before = tree(done.path)
    shutil.rmtree(done.path)
    shutil.rmtree(done.data_root / ".dvc" / "cache")
    restore(done, "", quick)
    assert tree(done.path) == before
    found = find_unused(repository_of(done.data_root), keep_days=None, remote=True)
    assert found.remote == {}
