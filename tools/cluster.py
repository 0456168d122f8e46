"""Several workers on this machine, with PostgreSQL and Redis, until Ctrl-C or ``--stop``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alp_assets.errors import AlpError
from alp_assets.files import write_bytes
from alp_assets.home import open_root
from deploy.cluster.local import Cluster, end_leftovers, running_cluster
from deploy.cluster.place import ClusterError, Place, Workers, open_place

_STOP_S = 60.0


def main() -> int:
    """Start the cluster, or stop it; 1 when that is impossible."""
    chosen = _options().parse_args()
    try:
        place = open_place(open_root(chosen.data), chosen.folder, chosen.port)
        if chosen.stop:
            return _stop(place)
        return _run(place, Workers(chosen.workers, chosen.gpu_workers, chosen.per_customer))
    except AlpError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make cluster ARGS=…", description=__doc__)
    parser.add_argument("--workers", type=int, default=3, help="worker processes of the queue cpu (default 3)")
    parser.add_argument("--gpu-workers", type=int, default=0, help="worker processes of the queue gpu (default 0)")
    parser.add_argument(
        "--per-customer",
        type=int,
        default=0,
        help="packages of one customer at once; default all workers but one",
    )
    parser.add_argument("--port", type=int, default=3000, help="of Dagster's UI (default 3000)")
    parser.add_argument("--data", type=Path, help="data root; default $ALP_DATA, else data/ of the checkout")
    parser.add_argument("--folder", type=Path, help="state; default $ALP_CLUSTER, else cluster/ in the data root")
    parser.add_argument("--stop", action="store_true", help="stop the cluster that runs in that folder")
    return parser


def _run(place: Place, workers: Workers) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have started this deaf to them
        signal.signal(number, signal.default_int_handler)
    mine = place.folder / "cluster.pid"
    if (pid := _supervisor(mine)) is not None:
        raise ClusterError(f"a cluster runs in {place.folder} already (process {pid}); stop it with --stop.")
    write_bytes(mine, f"{os.getpid()}\n".encode())
    try:
        print("Starting PostgreSQL, Redis, the workers and Dagster …", flush=True)
        with running_cluster(place, workers, told=_say) as cluster:
            _tell(cluster)
            while True:
                time.sleep(1)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("Stopped.", flush=True)
        return 0
    finally:
        mine.unlink(missing_ok=True)


def _say(text: str) -> None:
    print(text, flush=True)


def _tell(cluster: Cluster) -> None:
    place, workers = cluster.place, cluster.workers
    rows = {
        "Dagster": place.url,
        "inbox": f"{place.data_root}/inbox/<customer>/<package>.zip",
        "workers": f"{workers.cpu} cpu, {workers.gpu} gpu, {workers.threads} threads each, "
        f"at most {workers.customer_limit} packages of one customer at once",
        "PostgreSQL": f"{place.host}:{place.ports['postgres']}",
        "Redis": f"{place.host}:{place.ports['redis']}",
        "passwords": f"{place.folder}/secrets.json",
        "alp": f". {place.folder}/env   makes `alp` work in this cluster",
        "logs": str(place.logs),
    }
    print("\n".join(f"{name:<12}{value}" for name, value in rows.items()))
    print("Ctrl-C, or `make cluster ARGS=--stop` from elsewhere, stops it.", flush=True)


def _stop(place: Place) -> int:
    """Ask the process that started the cluster to end it; end what it left when it is gone itself."""
    pid = _supervisor(place.folder / "cluster.pid")
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _STOP_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
            time.sleep(0.2)
    left = end_leftovers(place)
    (place.folder / "cluster.pid").unlink(missing_ok=True)
    print("Stopped." if pid is not None or left else f"No cluster runs in {place.folder}.")
    return 0


def _supervisor(kept: Path) -> int | None:
    """The process that started the cluster, unless it has ended."""
    with suppress(OSError, ValueError):
        pid = int(kept.read_text())
        if b"cluster" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


if __name__ == "__main__":
    sys.exit(main())
