"""Delivery, against receivers on this machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socketserver
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from alp_assets.watch import delivery
from alp_assets.watch.delivery import SIGNATURE, deliver
from alp_assets.watch.notices import Counts, Outbox
from alp_assets.watch_params import NoticeParams

NOW = 1_800_000_000.0
HOOK = NoticeParams(webhook="ALP_NOTICE_URL", secret="ALP_NOTICE_SECRET", timeout_seconds=1.0)
MAIL = NoticeParams(
    mail_server="ALP_NOTICE_SMTP", mail_from="alp@example.com", mail_to=["ops@example.com"], timeout_seconds=2.0
)


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver():
    """An HTTP server that answers as it is told to, and what it got."""
    state = SimpleNamespace(got=[], answer=200, delay=0.0, location="")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.got.append((self.path, dict(self.headers), body))
            time.sleep(state.delay)
            self.send_response(state.answer)
            if state.location:
                self.send_header("Location", state.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self):
            state.got.append((self.path, {}, b""))

        def log_message(self, *_):
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield state


@pytest.fixture
def post_office():
    """An SMTP server without TLS, and the mails that it got."""
    state = SimpleNamespace(mails=[], words=[], refuses=False)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.say("220 hello")
            data = None
            for raw in self.rfile:
                line = raw.decode().rstrip("\r\n")
                if data is not None:
                    if line == ".":
                        state.mails.append("\n".join(data))
                        data = None
                        self.say("250 taken")
                    else:
                        data.append(line)
                    continue
                state.words.append(line)
                word = line.upper()
                if word.startswith("EHLO"):
                    self.say("250 SIZE 1000000")
                elif word == "DATA":
                    data = []
                    self.say("354 go on")
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                elif word.startswith("RCPT") and state.refuses:
                    self.say("550 nobody here")
                else:
                    self.say("250 fine")

        def say(self, line):
            self.wfile.write(f"{line}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with serving(Server(("127.0.0.1", 0), Handler)) as server:
        state.address = f"127.0.0.1:{server.server_address[1]}"
        yield state


def put(root, params, kind="failed", run_id="r1"):
    return Outbox(root).put(
        params, kind, "패키지가 손상되었습니다", customer="acme", package="first", run_id=run_id
    )


def test_a_webhook_gets_signed_json_once(tmp_path, receiver, monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_URL", f"{receiver.url}/hook?channel=1")
    monkeypatch.setenv("ALP_NOTICE_SECRET", "a good secret")
    notice = put(tmp_path, HOOK)
    assert deliver(tmp_path, HOOK).done == 1
    assert deliver(tmp_path, HOOK).done == 0
    ((path, headers, body),) = receiver.got
    assert path == "/hook?channel=1"
    told = json.loads(body)
    assert (told["kind"], told["customer"], told["package"], told["run_id"]) == ("failed", "acme", "first", "r1")
    assert "손상" in told["text"]
    assert headers["Idempotency-Key"] == notice.id == told["id"]
    stamp, given = (part.partition("=")[2] for part in headers[SIGNATURE].split(","))
    expected = hmac.new(b"a good secret", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(given, expected)
    assert abs(int(stamp) - time.time()) < 60
    assert Outbox(tmp_path).counts() == Counts()


@pytest.mark.parametrize("answer", [302, 307, 404, 500])
def test_what_is_not_taken_is_tried_again_later(tmp_path, receiver, monkeypatch, answer):
    monkeypatch.setenv("ALP_NOTICE_URL", f"{receiver.url}/hook")
    monkeypatch.setenv("ALP_NOTICE_SECRET", "a good secret")
    receiver.answer, receiver.location = answer, f"{receiver.url}/elsewhere"
    put(tmp_path, HOOK)
    result = deliver(tmp_path, HOOK)
    assert result.done == 0
    assert str(answer) in result.errors[0]
    assert [path for path, _, _ in receiver.got] == ["/hook"]
    receiver.answer = 204
    assert deliver(tmp_path, HOOK).done == 0
    assert deliver(tmp_path, HOOK, clock=lambda: time.time() + 31).done == 1


def test_a_receiver_that_hangs_holds_the_round_up_once(tmp_path, receiver, monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_URL", receiver.url)
    monkeypatch.setenv("ALP_NOTICE_SECRET", "a good secret")
    receiver.delay = 2.0
    params = HOOK.model_copy(update={"timeout_seconds": 0.3})
    for number in range(3):
        put(tmp_path, params, run_id=f"r{number}")
    result = deliver(tmp_path, params)
    assert result.done == 0
    assert len(receiver.got) == 1
    assert Outbox(tmp_path).counts() == Counts(waiting=3)


def test_only_the_notice_that_was_tried_loses_a_try(tmp_path, receiver, monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_URL", receiver.url)
    monkeypatch.setenv("ALP_NOTICE_SECRET", "a good secret")
    receiver.answer = 500
    params = HOOK.model_copy(update={"tries": 2})
    for number in range(3):
        put(tmp_path, params, run_id=f"r{number}")
    deliver(tmp_path, params, clock=lambda: NOW)
    assert sorted(notice.tries for notice in Outbox(tmp_path).due(NOW + 31, 9)) == [0, 0, 1]
    for _ in range(2):
        deliver(tmp_path, params, clock=lambda: NOW + 31)
    assert Outbox(tmp_path).counts() == Counts(waiting=3)
    assert len(receiver.got) == 3
    receiver.answer = 200
    assert deliver(tmp_path, params, clock=lambda: NOW + 120).done == 3


def test_a_receiver_that_is_gone_holds_up_no_notice_for_another(tmp_path, receiver, post_office, monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_URL", receiver.url)
    monkeypatch.setenv("ALP_NOTICE_SMTP", f"smtp://{post_office.address}")
    monkeypatch.setattr(delivery, "_MOST_AT_ONCE", 2)
    receiver.answer = 500
    both = MAIL.model_copy(update={"webhook": "ALP_NOTICE_URL"})
    for number in range(6):
        put(tmp_path, both, run_id=f"r{number}")
    for _ in range(3):
        deliver(tmp_path, both)
    assert len(post_office.mails) == 6


def test_a_name_and_password_in_the_address_sign_the_webhook_in(tmp_path, receiver, monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_URL", receiver.url.replace("://", "://me:p%40ss@"))
    params = HOOK.model_copy(update={"secret": ""})
    put(tmp_path, params)
    assert deliver(tmp_path, params).done == 1
    ((_, headers, _),) = receiver.got
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'me:p@ss').decode()}"
    assert SIGNATURE not in headers


def test_errors_tell_neither_path_nor_password(tmp_path, monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_URL", "http://me:hunter2@127.0.0.1:9/services/xyzzy")
    monkeypatch.setenv("ALP_NOTICE_SECRET", "a good secret")
    put(tmp_path, HOOK)
    (error,) = deliver(tmp_path, HOOK).errors
    assert "127.0.0.1:9" in error
    assert "hunter2" not in error
    assert "xyzzy" not in error


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "gopher://x", "no address", "http://127.0.0.1:99999", "http://[bad"]
)
def test_other_addresses_are_refused(tmp_path, monkeypatch, address):
    monkeypatch.setenv("ALP_NOTICE_URL", address)
    monkeypatch.setenv("ALP_NOTICE_SECRET", "a good secret")
    put(tmp_path, HOOK)
    assert deliver(tmp_path, HOOK).errors


def test_a_variable_that_is_not_set_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("ALP_NOTICE_URL", raising=False)
    put(tmp_path, HOOK)
    assert "$ALP_NOTICE_URL" in deliver(tmp_path, HOOK).errors[0]


def test_mail_arrives_in_korean(tmp_path, post_office, monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_SMTP", f"smtp://{post_office.address}")
    params = MAIL.model_copy(update={"language": "ko"})
    put(tmp_path, params)
    result = deliver(tmp_path, params)
    assert result.errors == ()
    (mail,) = post_office.mails
    head, _, body = mail.partition("\n\n")
    assert "To: ops@example.com" in head
    assert "Auto-Submitted" in head
    text = base64.b64decode(body).decode() if "base64" in head else body
    assert "패키지가 손상되었습니다" in text


def test_a_password_is_not_sent_without_tls(tmp_path, post_office, monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_SMTP", f"smtp://me:hunter2@{post_office.address}")
    put(tmp_path, MAIL)
    (error,) = deliver(tmp_path, MAIL).errors
    assert "STARTTLS" in error
    assert "hunter2" not in error
    assert not any("AUTH" in word for word in post_office.words)
    assert not post_office.mails


def test_a_channel_that_has_it_does_not_get_it_again(tmp_path, receiver, post_office, monkeypatch):
    monkeypatch.setenv("ALP_NOTICE_URL", receiver.url)
    monkeypatch.setenv("ALP_NOTICE_SMTP", f"smtp://{post_office.address}")
    both = MAIL.model_copy(update={"webhook": "ALP_NOTICE_URL"})
    post_office.refuses = True
    put(tmp_path, both)
    assert deliver(tmp_path, both).done == 0
    post_office.refuses = False
    assert deliver(tmp_path, both, clock=lambda: time.time() + 31).done == 1
    assert len(receiver.got) == len(post_office.mails) == 1
