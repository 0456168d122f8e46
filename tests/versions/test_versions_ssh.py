"""Versions on a machine that SSH reaches."""

import asyncio
import shutil
import subprocess
import sys
import threading
from functools import partial
from getpass import getuser

import pytest

from tests.packages import tree

pytestmark = pytest.mark.slow


@pytest.fixture
def address(tmp_path, monkeypatch):
    """A server that knows the key in a home of our own, and has nothing but SFTP."""
    asyncssh = pytest.importorskip("asyncssh")
    pytest.importorskip("dvc_ssh", reason="alp[ssh] is not here")
    home, there = tmp_path / "home", tmp_path / "there"
    (home / ".ssh").mkdir(parents=True)
    there.mkdir()
    monkeypatch.setenv("HOME", str(home))
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(home / ".ssh" / "id_ed25519")
    key.write_public_key(tmp_path / "known")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listening():
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=str(tmp_path / "known"),
            sftp_factory=partial(asyncssh.SFTPServer, chroot=str(there).encode()),
        )

    server = asyncio.run_coroutine_threadsafe(listening(), loop).result(60)
    yield f"ssh://{getuser()}@127.0.0.1:{server.get_port()}"
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)


def alp(*arguments):
    """A command in a process of its own, which takes its connections with it when it ends."""
    command = [sys.executable, "-m", "alp_assets", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_versions_go_to_another_machine_and_come_back(done, address, tmp_path):
    root = done.data_root
    assert alp("init", root, "--remote", f"{address}/versions").returncode == 0
    assert "copied to the remote" in alp("snapshot", "acme/first", "--data", root).stdout
    assert any((tmp_path / "there" / "versions").rglob("*.dir"))
    before = tree(done.path)
    shutil.rmtree(done.path)
    shutil.rmtree(root / ".dvc" / "cache")
    back = alp("restore", "acme/first", "--data", root)
    assert back.returncode == 0, back.stderr
    assert tree(done.path) == before


def test_who_is_not_known_there_is_told_so(root, address, tmp_path):
    (tmp_path / "known").write_text("")
    refused = alp("init", root, "--remote", f"{address}/versions")
    assert refused.returncode == 2
    assert "cannot be reached" in refused.stderr
