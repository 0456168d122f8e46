"""Loaded models in memory."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from alp_assets.registry.cache import ModelCache
from tests.registry.conftest import FAN, JANUARY


@pytest.fixture
def versions(registry, fitted):
    return [registry.register(FAN, "january", JANUARY, fitted(name)) for name in "abcd"]


def counted(loads, size=10):
    return lambda version: loads.append(version.version) or (version.version, size)


def size_of(model):
    return model[1]


def test_a_model_is_loaded_once(versions):
    loads = []
    cache = ModelCache(counted(loads), size_of, 100)
    assert cache.get(versions[0]) is cache.get(versions[0])
    assert loads == [versions[0].version]
    assert (cache.stats().hits, cache.stats().loads, cache.stats().bytes) == (1, 1, 10)


def test_the_least_recently_used_goes_when_memory_is_full(versions):
    loads = []
    cache = ModelCache(counted(loads), size_of, 25)
    a, b, c, _ = versions
    for version in (a, b, a, c, a, b):
        cache.get(version)
    assert loads == [item.version for item in (a, b, c, b)]
    assert (cache.stats().models, cache.stats().bytes, cache.stats().evicted) == (2, 20, 2)


def test_a_model_larger_than_all_memory_is_handed_out_and_not_kept(versions):
    cache = ModelCache(counted([], size=30), size_of, 25)
    assert cache.get(versions[0])[0] == versions[0].version
    assert cache.stats().models == 0


def test_of_many_that_want_a_model_one_loads_it(versions):
    loads, together, go = [], Barrier(9), Event()

    def load(version):
        loads.append(version.version)
        go.wait(10)
        return version.version, 10

    cache = ModelCache(load, size_of, 100)

    def want(_):
        together.wait()
        return cache.get(versions[0])

    with ThreadPoolExecutor(8) as pool:
        wanted = [pool.submit(want, number) for number in range(8)]
        together.wait()
        while cache.stats().waited < 7:
            pass
        go.set()
        models = {id(future.result(10)) for future in wanted}
    assert len(models) == len(loads) == 1


def test_another_model_is_served_while_one_loads(versions):
    go = Event()

    def load(version):
        if version == versions[0]:
            assert go.wait(10)
        return version.version, 10

    cache = ModelCache(load, size_of, 100)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(cache.get, versions[0])
        assert cache.get(versions[1])[0] == versions[1].version
        assert not slow.done()
        go.set()
        assert slow.result(10)[0] == versions[0].version


def test_what_cannot_be_loaded_is_told_to_all_and_tried_again(versions):
    attempts, together = [], Barrier(4)

    def load(version):
        attempts.append(version)
        if len(attempts) == 1:
            while cache.stats().waited < 3:
                pass
            raise ValueError("no such luck")
        return version.version, 10

    cache = ModelCache(load, size_of, 100)

    def want(_):
        together.wait()
        with pytest.raises(ValueError, match="no such luck"):
            cache.get(versions[0])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(want, range(4)))
    assert cache.get(versions[0])[0] == versions[0].version
    assert len(attempts) == 2


def test_a_changed_champion_is_picked_up(registry, versions):
    cache = ModelCache(counted([]), size_of, 100)
    cache.warm(registry.champion(FAN))
    assert cache.get(registry.champion(FAN))[0] == versions[0].version
    registry.promote(versions[1].version, "jin", "")
    assert cache.get(registry.champion(FAN))[0] == versions[1].version


def test_a_forgotten_model_frees_its_memory(versions):
    cache = ModelCache(counted([]), size_of, 100)
    cache.warm(versions[0])
    cache.forget(versions[0].version)
    cache.forget(versions[1].version)
    assert (cache.stats().models, cache.stats().bytes) == (0, 0)
