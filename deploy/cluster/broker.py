"""Redis of the cluster: it hands the runs to the workers, and answers nobody without the password."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from deploy.cluster.place import ClusterError, Place, write_secret
from deploy.cluster.services import Service

_READY_S = 30.0


def redis(place: Place) -> Service:
    """The broker as a service; what it holds survives its end.

    Raises:
        ClusterError: Redis is not installed.
    """
    server = shutil.which("redis-server")
    if server is None:
        raise ClusterError("redis-server was not found. Install Redis: apt-get install redis-server.")
    folder = pid_file(place).parent
    folder.mkdir(mode=0o700, exist_ok=True)
    settings = {
        "bind": place.host,
        "port": place.ports["redis"],
        "requirepass": place.secret("redis"),
        "dir": json.dumps(str(folder), ensure_ascii=False),
        "pidfile": json.dumps(str(pid_file(place)), ensure_ascii=False),
        "appendonly": "yes",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    config = folder / "redis.conf"
    write_secret(config, "".join(f"{name} {value}\n" for name, value in settings.items()))
    return Service("redis", [server, str(config)])


def pid_file(place: Place) -> Path:
    """Where Redis writes which process it is."""
    return place.folder / "redis" / "redis.pid"


def wait_for_redis(place: Place) -> None:
    """Wait until the broker answers."""
    import redis as client

    until = time.monotonic() + _READY_S
    with client.Redis.from_url(place.broker_url, socket_timeout=5) as connection:
        while True:
            try:
                connection.ping()
            except (client.RedisError, OSError) as error:
                if time.monotonic() > until:
                    raise ClusterError(
                        f"Redis did not answer within {_READY_S:g} s ({error}). Its own words are in "
                        f"{place.logs / 'redis.log'}."
                    ) from None
                time.sleep(0.1)
            else:
                return
