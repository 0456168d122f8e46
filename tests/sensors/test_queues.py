"""Which workers take a package."""

import json

import pytest

from alp_assets.errors import ParameterError
from alp_assets.params import Params, with_overrides
from sensors.queues import VARIABLE, queue_tags

BOTH = "{cpu: {dagster-celery/queue: cpu}, gpu: {dagster-celery/queue: gpu}}"
CPU, GPU = {"dagster-celery/queue": "cpu"}, {"dagster-celery/queue": "gpu"}


@pytest.fixture
def choose(tmp_path, monkeypatch):
    """The tags of a package of some bytes under some parameters."""
    archive = tmp_path / "first.zip"

    def chosen(variable=BOTH, size=1000, **overrides):
        archive.write_bytes(b"x" * size)
        monkeypatch.setenv(VARIABLE, variable)
        params = with_overrides(Params(), {name.replace("__", "."): value for name, value in overrides.items()})
        return queue_tags(archive, params, tmp_path)

    return chosen


@pytest.mark.parametrize("encoder", ["ast", "beats", "hf:microsoft/wavlm-base"])
def test_transformers_are_for_a_gpu(choose, encoder):
    assert choose(embeddings__encoder=encoder) == GPU


@pytest.mark.parametrize("encoder", ["auto", "alp_conv", "logmel"])
def test_what_is_light_is_not(choose, encoder):
    assert choose(embeddings__encoder=encoder) == CPU


def test_a_big_package_is_for_a_gpu_whatever_embeds_it(choose):
    assert choose(size=2000, run__gpu_bytes=2000) == GPU
    assert choose(size=1999, run__gpu_bytes=2000) == CPU


def test_where_there_is_no_gpu_the_other_workers_take_it(choose):
    assert choose("{cpu: {dagster-celery/queue: cpu}}", embeddings__encoder="ast") == CPU


def test_one_machine_needs_no_queues(choose):
    assert choose("", embeddings__encoder="ast") == {}


def test_tags_of_kubernetes_are_json(choose):
    limits = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
    tags = choose(
        json.dumps({"gpu": {"dagster-k8s/config": {"container_config": limits}}}), size=9, run__gpu_bytes=1
    )
    assert json.loads(tags["dagster-k8s/config"]) == {"container_config": limits}


@pytest.mark.parametrize("variable", ["gpu", "{gpu: x}", "{gpu: [x", "[1]"])
def test_a_variable_that_is_no_tags_is_told(choose, variable):
    with pytest.raises(ParameterError, match=VARIABLE):
        choose(variable)
