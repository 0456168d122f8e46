"""Notices in the outbox, and their words."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import get_args

import pytest
from pydantic import ValidationError

from alp_assets.watch import notices as module
from alp_assets.watch.notices import Counts, Notice, Outbox
from alp_assets.watch_params import NoticeKind, NoticeParams
from schemas.texts import read_texts

PARAMS = NoticeParams(webhook="ALP_TEST_HOOK", tries=3)
NOW = 1_800_000_000.0


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path)


def put(outbox, kind="failed", **more):
    return outbox.put(PARAMS, kind, "out of luck", customer="acme", package="first", **more)


def test_what_is_put_in_is_due_once_however_often_it_is_put(outbox):
    put(outbox, run_id="r1")
    put(outbox, run_id="r1")
    put(outbox, run_id="r2")
    assert [notice.run_id for notice in outbox.due(NOW, 10)] in (["r1", "r2"], ["r2", "r1"])
    assert outbox.counts() == Counts(waiting=2)


def test_nobody_is_told_who_does_not_want_to_be(outbox):
    assert outbox.put(NoticeParams(), "failed", "x") is None
    assert outbox.put(replace_kinds("drift"), "failed", "x") is None
    assert outbox.put(replace_kinds("drift"), "drift", "x") is not None


def replace_kinds(*kinds):
    return NoticeParams(webhook="ALP_TEST_HOOK", kinds=kinds)


def test_a_failed_try_waits_longer_each_time_and_ends_among_the_undelivered(outbox):
    notice = put(outbox)
    waits = []
    for _ in range(2):
        notice = outbox.failed(notice, "gone", PARAMS, NOW)
        waits.append(notice.next_try - NOW)
        assert not outbox.due(NOW, 10)
        assert outbox.due(notice.next_try, 10) == [notice]
    assert waits[0] < waits[1]
    outbox.failed(notice, "gone", PARAMS, NOW)
    assert outbox.counts() == Counts(undelivered=1)
    assert not outbox.due(NOW + 1e6, 10)


def test_what_finds_no_room_is_dropped_logged_and_counted(outbox, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    for run_id in ("r1", "r2", "r3", "r2"):
        put(outbox, run_id=run_id)
    assert outbox.counts() == Counts(waiting=2, dropped=1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    for told in (caplog.text, (tmp_path / "watch" / "dropped.txt").read_text()):
        assert "failed acme first r3" in told
    (tmp_path / "watch" / "dropped.txt").unlink()
    assert outbox.counts() == Counts(waiting=2)


def test_undelivered_ones_that_make_room_for_younger_ones_count_as_dropped(outbox, monkeypatch, caplog):
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    params = PARAMS.model_copy(update={"tries": 1})
    for run_id in ("r1", "r2", "r3"):
        outbox.failed(put(outbox, run_id=run_id), "gone", params, NOW)
    assert outbox.counts() == Counts(undelivered=2, dropped=1)
    assert "failed acme first r1" in caplog.text


def test_a_notice_that_was_skipped_comes_after_those_that_nobody_tried_and_has_lost_no_try(outbox):
    first, second = put(outbox, run_id="r1"), put(outbox, run_id="r2")
    outbox.skipped(first, NOW)
    assert [notice.run_id for notice in outbox.due(NOW, 10)] == ["r2", "r1"]
    assert [notice.tries for notice in outbox.due(NOW, 10)] == [0, 0]
    assert second in outbox.due(NOW, 10)


def test_a_clock_that_was_put_back_does_not_hold_a_notice_up(outbox):
    notice = outbox.failed(put(outbox), "gone", PARAMS, NOW)
    assert outbox.due(NOW - 1e7, 10) == [notice]


def test_damaged_files_are_passed_over(outbox, tmp_path):
    put(outbox)
    (tmp_path / "watch" / "outbox" / "x.json").write_text("{")
    assert len(outbox.due(NOW, 10)) == 1


def test_secrets_and_novels_do_not_enter_a_notice(outbox):
    notice = outbox.put(PARAMS, "failed", "postgresql://alp:hunter2@db " + "x" * 5_000)
    assert "hunter2" not in notice.text
    assert len(notice.text) <= 2_000


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("kind", get_args(NoticeKind))
def test_every_kind_has_words_in_both_languages(kind, language):
    notice = Notice("id", kind, "acme", "first", "3 of 4 {machines}", "2026-03-01T12:00:00+00:00", run_id="r1")
    subject, body = notice.words(language)
    assert "acme" in subject
    assert "\n" not in subject
    assert "3 of 4 {machines}" in body
    assert "r1" in body
    assert notice.payload(language)["level"] in ("problem", "warning")


def test_a_line_break_in_a_name_cannot_reach_a_mail_s_headers():
    notice = Notice("id", "failed", "acme\nBcc: me@example.com", "first", "x", "2026-03-01T12:00:00+00:00")
    assert "\n" not in notice.words("en")[0]


def gaps(texts, path=()):
    for name, value in texts.items():
        if isinstance(value, dict):
            yield from gaps(value, (*path, name))
        else:
            yield (*path, name), {part[1] for part in string.Formatter().parse(value) if part[1]}


def test_both_languages_have_the_same_keys():
    english, korean = (dict(gaps(read_texts("notices", language))) for language in ("en", "ko"))
    assert english.keys() == korean.keys()
    assert {key: found for key, found in english.items() if key[-1] == "body"} == {
        key: found for key, found in korean.items() if key[-1] == "body"
    }
    assert set(get_args(NoticeKind)) <= {key[0] for key in english}


def test_a_secret_in_place_of_a_variable_s_name_is_refused_without_telling_it():
    with pytest.raises(ValidationError) as refused:
        NoticeParams(webhook="https://hook.example/hunter2")
    assert all("hunter2" not in item["msg"] for item in refused.value.errors())


def test_a_notice_goes_through_its_file(outbox):
    notice = put(outbox, run_id="r1")
    kept = outbox.failed(replace(notice, sent=("webhook",)), "gone", PARAMS, NOW)
    assert outbox.due(kept.next_try, 1) == [kept]
