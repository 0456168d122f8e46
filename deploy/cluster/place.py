"""Where a cluster on this machine keeps its state, its ports and its passwords."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from alp_assets.errors import AlpError
from alp_assets.files import read_json, write_bytes, write_json
from alp_assets.home import object_url
from alp_assets.params import PROJECT

TEMPLATE = Path(__file__).with_name("dagster.yaml")
MARK = "ALP_CLUSTER_OF"
"""Environment variable of everything that a cluster started: its folder. So leftovers are found again."""

USER, DATABASE, REGISTRY = "alp", "dagster", "registry"
_HOST = "127.0.0.1"
_PORTS = ("postgres", "redis", "code")
_SECRETS = "secrets.json"


class ClusterError(AlpError):
    """The cluster cannot be started, or one of its parts did not come up."""


@dataclass(frozen=True)
class Workers:
    """How many worker processes there are, and how many packages of one customer are worked on at once."""

    cpu: int = 3
    gpu: int = 0
    per_customer: int = 0

    def __post_init__(self) -> None:
        if self.cpu < 1 or self.gpu < 0 or self.per_customer < 0:
            raise ClusterError(
                f"{self.cpu} workers, {self.gpu} with a GPU, {self.per_customer} for a customer: there must be at "
                "least one worker, and none of the numbers can be negative."
            )

    @property
    def all(self) -> int:
        """Workers of both kinds."""
        return self.cpu + self.gpu

    @property
    def customer_limit(self) -> int:
        """Unless it is given, one worker stays free for the others, where there are several."""
        return self.per_customer or max(1, self.all - 1)

    @property
    def threads(self) -> int:
        """Of each worker, so that all together use the cores once."""
        return max(1, len(os.sched_getaffinity(0)) // self.all)


@dataclass(frozen=True)
class Place:
    """A cluster's folder, and the data root that it works in."""

    folder: Path
    data_root: Path
    web_port: int
    ports: dict[str, int]

    @property
    def home(self) -> Path:
        """Dagster's home."""
        return self.folder / "dagster"

    @property
    def workspace(self) -> Path:
        """The file that tells the webserver and the daemon where the code server is."""
        return self.home / "workspace.yaml"

    @property
    def logs(self) -> Path:
        """What every part says."""
        return self.folder / "logs"

    @property
    def host(self) -> str:
        """Where everything listens: this machine alone."""
        return _HOST

    @property
    def url(self) -> str:
        """Dagster's UI."""
        return f"http://localhost:{self.web_port}"

    def secret(self, name: str) -> str:
        """A password, made when it is first asked for, in a file that its owner alone may read."""
        path = self.folder / _SECRETS
        known: dict[str, str] = read_json(path) if path.exists() else {}
        if name not in known:
            known[name] = secrets.token_urlsafe(32)
            write_secret(path, json.dumps(known, indent=2))
        return known[name]

    @property
    def broker_url(self) -> str:
        """Redis, with its password."""
        return f"redis://:{self.secret('redis')}@{_HOST}:{self.ports['redis']}/0"

    def database_url(self, database: str) -> str:
        """A database of the cluster's PostgreSQL, with its password."""
        return f"postgresql://{USER}:{self.secret('postgres')}@{_HOST}:{self.ports['postgres']}/{database}"

    def environment(self, workers: Workers) -> dict[str, str]:
        """What every process of the cluster is told. It holds passwords: it is for processes, not for logs."""
        path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
        return {**os.environ, **self.settings(workers), MARK: str(self.folder), "PYTHONPATH": path}

    def settings(self, workers: Workers) -> dict[str, str]:
        """What makes a process work in this cluster; ``alp`` too."""
        queues = {kind: {"dagster-celery/queue": kind} for kind in ("cpu", "gpu") if kind == "cpu" or workers.gpu}
        return {
            "ALP_DATA": object_url(self.data_root) or str(self.data_root),
            "DAGSTER_HOME": str(self.home),
            "ALP_BROKER_URL": self.broker_url,
            "ALP_REGISTRY_URL": self.database_url(REGISTRY),
            "ALP_POSTGRES_HOST": _HOST,
            "ALP_POSTGRES_PORT": str(self.ports["postgres"]),
            "ALP_POSTGRES_USER": USER,
            "ALP_POSTGRES_PASSWORD": self.secret("postgres"),
            "ALP_POSTGRES_DATABASE": DATABASE,
            "ALP_RUN_TAGS": yaml.safe_dump(queues, default_flow_style=True, width=10_000).strip(),
            "ALP_THREADS": str(workers.threads),
            "OMP_NUM_THREADS": str(workers.threads),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "DVC_NO_ANALYTICS": "1",
            "GX_ANALYTICS_ENABLED": "False",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }


def open_place(data_root: Path, folder: Path | None = None, web_port: int = 3000) -> Place:
    """The place of a data root's cluster, made when it is not there: ``$ALP_CLUSTER``, else in the data root.

    Ports are chosen once, among those that are free, and kept.
    """
    chosen = folder or os.environ.get("ALP_CLUSTER")
    where = Path(chosen).expanduser().resolve() if chosen else data_root / "cluster"
    for path in (where, where / "dagster", where / "logs"):
        path.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.stat().st_uid != os.geteuid():
            raise ClusterError(
                f"{path}: belongs to somebody else, who could read and change what lies there. Set ALP_CLUSTER to "
                "a folder of your own."
            )
    where.chmod(0o711)  # PostgreSQL runs as somebody else and must get through
    kept = where / "ports.json"
    if not kept.exists():
        write_json(kept, dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True)))
    return Place(where, data_root, web_port, read_json(kept))


def configure(place: Place, workers: Workers, **more: Any) -> None:
    """Write Dagster's instance and workspace, and the settings for people's shells (mode 600).

    ``more`` replaces settings of the instance, top level.
    """
    config = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8")) | more
    runs = config["concurrency"]["runs"]
    runs["max_concurrent_runs"] = workers.all
    limits = {"customer": workers.customer_limit, "cpu": workers.cpu, "gpu": workers.gpu or workers.cpu}
    for limit in runs["tag_concurrency_limits"]:
        limit["limit"] = limits[limit["value"] if isinstance(limit["value"], str) else limit["key"]]
    write_bytes(place.home / "dagster.yaml", yaml.safe_dump(config, sort_keys=False).encode())
    server = {"host": place.host, "port": place.ports["code"], "location_name": "alp"}
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in place.settings(workers).items()]
    write_secret(place.folder / "env", "".join(lines))
    write_bytes(place.workspace, yaml.safe_dump({"load_from": [{"grpc_server": server}]}).encode())


def write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone may ever read."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # of mode 600
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(temporary, path)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((_HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
