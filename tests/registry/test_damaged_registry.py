"""A registry's file that holds something else than was written: named, with what to do, and built anew."""

import os

import pytest

from alp_assets.registry.records import RegistryRefused
from alp_assets.registry.registry import Registry
from tests.registry.conftest import FAN


def overwritten(path):
    path.write_bytes(os.urandom(100) + path.read_bytes()[100:])


def emptied(path):
    size = path.stat().st_size
    with path.open("r+b") as stream:
        stream.seek(4096)
        stream.write(bytes(size - 4096))


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("harm", [overwritten, emptied, cut])
def test_damage_is_named_with_what_to_do_and_a_fresh_registry_works(tmp_path, harm):
    path = tmp_path / "registry.db"
    assert Registry(tmp_path).champion(FAN) is None
    harm(path)
    with pytest.raises(
        RegistryRefused, match=r"registry\.db: the registry is damaged .*Put a backup back.*move it away"
    ):
        Registry(tmp_path).champion(FAN)
    for left in tmp_path.glob("registry.db*"):
        left.rename(left.with_name(f"damaged-{left.name}"))
    assert Registry(tmp_path).champion(FAN) is None
