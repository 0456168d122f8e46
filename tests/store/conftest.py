import pytest

from tests.store.buckets import running


@pytest.fixture(scope="session")
def server():
    """A server that speaks S3."""
    with running() as found:
        yield found
