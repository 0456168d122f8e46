"""A PostgreSQL cluster in a temporary folder, for as long as tests need it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def cluster():
    """The URL of a database of a fresh cluster that listens on a socket alone; skips where there is none."""
    programs = {name: _program(name) for name in ("initdb", "pg_ctl")}
    pytest.importorskip("psycopg")
    if not all(programs.values()):
        pytest.skip("there is no PostgreSQL here")
    user = _user()
    place = Path(tempfile.mkdtemp(prefix="alp-pg-", dir="/tmp"))  # a socket's path must be short
    if user:
        os.chown(place, user.pw_uid, user.pw_gid)
    data = place / "data"
    options = f"-c listen_addresses='' -c unix_socket_directories={place} -c fsync=off -c max_connections=60"
    _run(user, [programs["initdb"], "-D", str(data), "-A", "trust", "-U", "alp", "-E", "UTF8", "--no-sync"])
    _run(
        user,
        [programs["pg_ctl"], "-D", str(data), "-w", "-t", "120", "-o", options, "-l", f"{place}/log", "start"],
    )
    try:
        yield f"postgresql://alp@/postgres?host={place}"
    finally:
        _run(user, [programs["pg_ctl"], "-D", str(data), "-m", "immediate", "-w", "stop"])
        shutil.rmtree(place, ignore_errors=True)


def _program(name):
    places = [
        os.environ.get("PATH", ""),
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
    return shutil.which(name, path=os.pathsep.join(places))


def _user():
    """Whom to run it as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return pytest.skip("PostgreSQL does not run as root, and there is no other user")


def _run(user, command):
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    done = subprocess.run(
        command, cwd="/", capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL, **identity
    )
    assert done.returncode == 0, done.stdout + done.stderr
