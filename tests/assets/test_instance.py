"""Opening a data root's Dagster instance."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from alp_assets.assets.instance import open_instance

AT_ONCE = 4


def test_a_fresh_instance_may_be_opened_by_several_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    together = Barrier(AT_ONCE)

    def opened(_):
        together.wait()
        with open_instance(tmp_path) as instance:
            return len(instance.get_runs())

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert list(pool.map(opened, range(AT_ONCE))) == [0] * AT_ONCE
