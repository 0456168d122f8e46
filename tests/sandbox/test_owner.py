"""Whose files a decoder has seen: it works on nobody else's."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from alp_assets.params import Params
from alp_assets.sandbox import workers
from alp_assets.sandbox.owner import work_for
from alp_assets.sandbox.workers import Limits, served
from alp_assets.stages.catalog import run_stage
from alp_assets.web.workers import diagnosing
from alp_assets.web.workers.asked import Job, Start
from tests.packages import FAST, machine_package, receive, run_through
from tests.sandbox.test_workers import gone_within

LIMITS = Limits(seconds=20, memory_mb=259)


@pytest.fixture(autouse=True)
def nobody():
    """Decoders of other tests work for nobody."""
    work_for("")
    yield
    work_for("")


def pid():
    with served("tests.sandbox.jobs:echo", memoryview(b"x"), {}, LIMITS) as found:
        return found.head["pid"]


def waiting():
    return {worker._process.pid for workers_of in workers._idle.values() for worker in workers_of}


def test_a_decoder_goes_on_with_files_of_the_same_owner():
    work_for("acme__first")
    first = pid()
    work_for("acme__first")
    assert pid() == first


def test_a_decoder_works_on_no_file_of_another_owner_and_is_ended():
    work_for("acme__first")
    first = pid()
    work_for("other__first")
    assert pid() != first
    assert gone_within(first, 5)
    work_for("acme__first")
    assert pid() != first


def test_a_decoder_that_is_at_work_when_the_owner_changes_is_ended_when_it_is_done():
    work_for("acme__first")
    with served("tests.sandbox.jobs:echo", memoryview(b"x"), {}, LIMITS) as found:
        work_for("other__first")
        list(found.buffers())
    assert gone_within(found.head["pid"], 5)


def test_stages_of_one_package_share_decoders_and_those_of_another_have_their_own(tmp_path):
    used = []
    for package in ("first", "second"):
        archive = machine_package(tmp_path / f"{package}.zip", train=2, normal=0, anomaly=0)
        folder = receive(tmp_path, archive, package=package)
        run_through(folder, until="quality", params=FAST)
        after_quality = waiting()
        run_stage("clips", folder, FAST)
        assert after_quality & waiting()
        used.append(after_quality | waiting())
    assert not used[0] & used[1]
    assert all(gone_within(one, 5) for one in used[0])


def test_recordings_of_customers_who_share_a_worker_do_not_share_a_decoder(tmp_path, monkeypatch):
    monkeypatch.setattr(diagnosing, "loaded_model", lambda look, state: SimpleNamespace(clips=Params().clips))
    recording = tmp_path / "a.wav"
    recording.write_bytes(b"no audio")
    used = {}
    for customer in ("acme", "other"):
        look = SimpleNamespace(version=SimpleNamespace(section=SimpleNamespace(customer=customer)))
        job = Job(recording, "a.wav", (look,), frozenset(), {})
        for _ in range(2):
            assert diagnosing.answer(job, {"start": Start(tmp_path, FAST, 0)}).startswith(b"-")
            used.setdefault(customer, set()).update(waiting())
    assert [len(pids) for pids in used.values()] == [1, 1]
    assert used["acme"] != used["other"]
