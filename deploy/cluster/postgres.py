"""PostgreSQL of the cluster: found, made once, and waited for."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from deploy.cluster.place import DATABASE, REGISTRY, USER, ClusterError, Place
from deploy.cluster.services import Service, as_account

_READY_S = 60.0
_NOT_ROOT = ("postgres", "nobody")


def postgres(place: Place) -> Service:
    """The database server as a service. Its folder is made when it is not there.

    Raises:
        ClusterError: PostgreSQL is not installed, or cannot work in the cluster's folder.
    """
    server, initdb = program("postgres"), program("initdb")
    data, account = place.folder / "postgres", _account()
    if not data.exists():
        part = place.folder / "postgres.part"  # one that was killed half-way begins anew
        shutil.rmtree(part, ignore_errors=True)
        _own(part, account, place)
        _make(initdb, part, account, place.secret("postgres"))
        part.rename(data)
    settings = {
        "listen_addresses": place.host,
        "port": str(place.ports["postgres"]),
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "max_connections": "300",
        "log_statement": "none",
        "log_min_error_statement": "panic",  # a failing statement may hold a customer's text
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return Service("postgres", [server, "-D", str(data), *options], account=account, stop_with="INT")


def wait_and_fill(place: Place) -> None:
    """Wait until the server answers; make the two databases that are not there."""
    import psycopg

    until = time.monotonic() + _READY_S
    while True:
        try:
            with psycopg.connect(place.database_url("postgres"), autocommit=True, connect_timeout=5) as connection:
                there = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
                for name in sorted({DATABASE, REGISTRY} - there):
                    connection.execute(f'CREATE DATABASE "{name}"'.encode())
                return
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise ClusterError(
                    f"PostgreSQL did not answer within {_READY_S:g} s ({error}). Its own words are in "
                    f"{place.logs / 'postgres.log'}."
                ) from None
        time.sleep(0.2)


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs, of the highest version that Debian put there.

    Raises:
        ClusterError: there is none.
    """
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, versions), os.environ.get("PATH", "")]))
    if found is None:
        raise ClusterError(f"{name} was not found. Install PostgreSQL: apt-get install postgresql.")
    return found


def _version(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0


def _account() -> pwd.struct_passwd | None:
    """Whom to run it as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in _NOT_ROOT:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ClusterError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody. Run this as another user."
    )


def _own(data: Path, account: pwd.struct_passwd | None, place: Place) -> None:
    """Make a folder of the account, which must be able to get there."""
    data.mkdir(mode=0o700)
    if account is None:
        return
    os.chown(data, account.pw_uid, account.pw_gid)
    if subprocess.run(["test", "-w", str(data)], check=False, cwd="/", **as_account(account)).returncode:
        raise ClusterError(
            f"{place.folder}: the user {account.pw_name}, whom PostgreSQL must run as here, cannot get there. "
            "Set ALP_CLUSTER to a folder that everybody may pass through, such as /var/tmp/alp-cluster."
        )


def _make(initdb: str, data: Path, account: pwd.struct_passwd | None, password: str) -> None:
    """Make the server's files; its one user signs in with a password."""
    handle, kept = tempfile.mkstemp(prefix="alp-")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(password)
        if account:
            os.chown(kept, account.pw_uid, account.pw_gid)
        settings = ["-U", USER, "-A", "scram-sha-256", "--pwfile", kept, "-E", "UTF8", "--locale=C"]
        done = subprocess.run(
            [initdb, "-D", str(data), *settings],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            **as_account(account),
        )
    finally:
        Path(kept).unlink()
    if done.returncode:
        raise ClusterError(f"{data}: PostgreSQL could not be set up there ({done.stderr.strip() or done.stdout}).")
