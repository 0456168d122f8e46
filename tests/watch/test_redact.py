"""Secrets never leave in a text."""

from __future__ import annotations

import time

import pytest

from alp_assets.watch.redact import redact, shown_address


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://alp:hunter2-secret@db.example/alp",
        "cannot reach https://hunter2-secret@example.com/x",
        "postgresql://alp:p@ss-hunter2-secret@db.example/alp",
        "Authorization: Basic aHVudGVyMg==hunter2",
        "redis://:hunter2-secret@10.0.0.1:6379/0 is down",
        "GET /hook?token=hunter2-secret&x=1",
        "GET /hook?x=1&api_key=hunter2-secret",
        "password: hunter2-secret",
        '{"client_secret": "hunter2-secret"}',
        "Authorization: Bearer hunter2-secret",
        "alp_3f2a91c0_hunter2-secret was refused",
        "AWS_SECRET_ACCESS_KEY=hunter2-secret",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text):
    assert "hunter2" not in redact(text)


def test_the_values_of_secret_variables_are_taken_out_wherever_they_stand(monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_URL", "https://chat.example/services/T0/B1/xyzzy")
    monkeypatch.setenv("ALP_POSTGRES_PASSWORD", "correct horse")
    shown = redact("POST https://chat.example/services/T0/B1/xyzzy failed; tried correct horse")
    assert shown == "POST *** failed; tried ***"


def test_the_rest_stays_readable(monkeypatch):
    monkeypatch.setenv("ALP_METRICS_TOKEN_FILE", "/run/secrets/token")
    for text in (
        "postgresql://db.example/alp cannot be reached",
        "acme/fan/00: 3 of 144 recordings hum; see /run/secrets/token",
        "passed: 12 gates, signals: 0",
        "mail to ops@example.com",
        "basic settings of the bearings",
    ):
        assert redact(text) == text


@pytest.mark.parametrize("text", ["a." * 50_000, "token" * 20_000, "a://" * 20_000, "secret: " * 20_000])
def test_long_texts_take_no_time(text):
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 20


def test_of_an_address_only_scheme_and_host_are_shown():
    assert shown_address("https://u:p@chat.example:8443/services/T0/xyzzy?k=v") == "https://chat.example:8443"
    assert shown_address("redis://:p@hunter2@broker:6379/0") == "redis://broker:6379"
    assert shown_address("no address") == "***"
