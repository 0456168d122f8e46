"""Locks among machines that share a bucket alone."""

import threading
import time

import pytest

from alp_assets.errors import PackageBusy
from alp_assets.store.lease import Lease

KEY = "locks/acme__first.json"
BUSY = "acme__first: another process is working on this package."
SHORT_S = 2.0


@pytest.fixture
def bucket(server, request):
    return server.bucket(f"lease-{abs(hash(request.node.name)) % 10**8}")


def dead(lease):
    """A lease whose process was killed: nobody renews it, and it stays."""
    lease._etag = lease._acquire()
    return lease


def test_of_two_holders_one_works_and_the_other_is_told_once_it_was_seen_to_live(bucket):
    told = pytest.raises(PackageBusy, match="another process is working")
    with Lease(bucket, KEY, BUSY, SHORT_S), told, Lease(bucket, KEY, BUSY, SHORT_S):
        pytest.fail("two hold it")
    assert bucket.read(KEY) is None
    with Lease(bucket, KEY, BUSY, SHORT_S) as lease:
        lease.check()


def test_many_at_once_one_gets_it(bucket):
    got, refused = [], []
    barrier = threading.Barrier(6)

    def work():
        barrier.wait()
        try:
            with Lease(bucket, KEY, BUSY, SHORT_S):
                got.append(1)
                time.sleep(SHORT_S)
        except PackageBusy:
            refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 5)


def test_a_dead_holders_lease_runs_out_and_its_work_is_not_published(bucket):
    lost = dead(Lease(bucket, KEY, BUSY, SHORT_S))
    with Lease(bucket, KEY, BUSY, SHORT_S) as lease:
        with pytest.raises(PackageBusy, match="ran out, so that its work is not published"):
            lost.check()
        lease.check()


def test_a_renewal_whose_answer_got_lost_is_no_loss(bucket, monkeypatch):
    real = bucket.write

    def told_nothing(key, data, **condition):
        real(key, data, **condition)

    with Lease(bucket, KEY, BUSY, 60.0) as lease:
        with monkeypatch.context() as patch:
            patch.setattr(bucket, "write", told_nothing)
            lease.check()
        lease.check()
    assert bucket.read(KEY) is None


def test_a_long_block_keeps_its_lease(bucket):
    with Lease(bucket, KEY, BUSY, SHORT_S) as lease:
        first = bucket.read(KEY).etag
        time.sleep(SHORT_S * 0.75)
        assert bucket.read(KEY).etag != first
        lease.check()
