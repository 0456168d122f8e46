"""``alp serve`` and ``alp keys`` as people meet them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from typer.testing import CliRunner

from alp_assets.cli import app
from alp_assets.errors import AlpError


@pytest.fixture
def alp(tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--data", str(tmp_path)])
        if isinstance(result.exception, AlpError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_keys_are_made_listed_and_ended(alp):
    made = json.loads(
        alp("keys", "add", "--role", "operator", "-c", "acme", "--label", "Kim", "--expires", "90d", "--json")
    )
    assert made["key"].startswith(f"alp_{made['id']}_")
    assert alp("keys", "add", "--role", "admin", "-c", "*").startswith("alp_")
    listed = json.loads(alp("keys", "list", "--json"))
    assert [item["role"] for item in listed] == ["operator", "admin"]
    assert made["key"] not in json.dumps(listed)
    assert "digest" not in listed[0]
    assert "good" in alp("keys", "list")
    alp("keys", "revoke", made["id"])
    assert "revoked" in alp("keys", "list")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["keys", "add", "--role", "king", "-c", "acme"], "choose viewer"),
        (["keys", "add", "--role", "viewer", "-c", "A/B"], "cannot be a customer"),
        (["keys", "add", "--role", "viewer", "-c", "acme", "--expires", "soon"], "90d"),
        (["keys", "revoke", "nothing"], "no such key"),
        (["serve"], "alp keys add"),
        (["serve", "--dev", "--host", "0.0.0.0"], "cannot listen on 0.0.0.0"),
    ],
)
def test_what_cannot_be_is_told(alp, arguments, words):
    with pytest.raises(AlpError, match=re.escape(words)):
        alp(*arguments)


def test_the_server_starts_answers_and_ends_in_peace(alp, tmp_path):
    key = alp("keys", "add", "--role", "admin", "-c", "*").strip()
    command = [sys.executable, "-m", "alp_assets", "serve", "--port", "0", "--data", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--set", "web.quick_workers=1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        line = process.stdout.readline()
        address = re.search(r"http://127.0.0.1:\d+", line)
        try:
            assert address, line
            url = f"{address[0]}/api/v1"
            assert _get(f"{url}/health") == (200, {"status": "ok"})
            assert _get(f"{url}/models")[0] == 401
            assert _get(f"{url}/models", key) == (200, {"models": []})
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
        assert "Traceback" not in process.stdout.read()


def _get(url, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    latest = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except urllib.error.URLError:
            if time.monotonic() > latest:
                raise
            time.sleep(0.1)
