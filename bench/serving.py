"""`alp serve` under load: diagnoses per second and how long they take, and what a thousand uploads leave behind.

A server of its own on loopback, with a synthetic machine's models: `memory_bank` on `logmel`, and another one on a
tiny AST, which has the work of a slow encoder without its weights. 16 clients at once.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile as sf

from alp_assets.params import Params, with_overrides
from bench.output import save, say, show

CLIENTS = 16
REQUESTS = 400
SLOW_CLIENTS = 8
UPLOADS = 1_000
TARGET_PER_SECOND, TARGET_P99_MS = 40.0, 600.0

_RATE = 16_000
_SECTION, _SLOW_SECTION = "bench/fan/quick", "bench/fan/slow"
_STARTING_S = 180.0
_BASE = {
    "quality.data_docs": False,
    "versioned.enabled": False,
    "run.workers": 1,
    "sensitivity.enabled": False,
    "models.engine": "memory_bank",
    "embeddings.pretrained.pooled_layers": [1, 2],
    "embeddings.pretrained.precision": "float32",
}
_AST_LAYERS, _AST_WIDTH = 6, 192
"""Wide enough that a clip takes about a second of one core, as the real one does on a quick machine."""


@dataclass(frozen=True)
class Server:
    """A server that runs: the number of its process, its address and a key for everything."""

    pid: int
    url: str
    key: str
    data_root: Path

    def client(self) -> httpx.AsyncClient:
        """A client with enough connections for all."""
        limits = httpx.Limits(max_connections=CLIENTS + SLOW_CLIENTS)
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, limits=limits, timeout=300)

    def processor_s(self) -> dict[str, float]:
        """Processor seconds of the server and of its workers so far."""
        return {"server": _processor_s(self.pid), "workers": sum(map(_processor_s, _children(self.pid)))}

    def held(self) -> dict[str, int]:
        """Bytes of memory of the server and its workers, the server's open files, and temporary files."""
        workers = _children(self.pid)
        web = self.data_root / "web"
        return {
            "server_bytes": _memory(self.pid),
            "workers_bytes": sum(map(_memory, workers)),
            "workers": len(workers),
            "open_files": _entries(Path(f"/proc/{self.pid}/fd")),
            "threads": _entries(Path(f"/proc/{self.pid}/task")),
            "temporary_files": sum(
                path.is_file() for name in ("scratch", "uploads") for path in (web / name).rglob("*")
            ),
        }


def main() -> None:
    """Measure, print the tables, and write ``bench/results/serving.json``."""
    with tempfile.TemporaryDirectory(prefix="alp-bench-serving-") as place:
        root = Path(place) / "data"
        say("Fitting the models of two synthetic machines.")
        _prepare(root)
        with _serving(root) as server:
            figures = asyncio.run(_load(server))
            leaks = asyncio.run(_uploads(server))
    _tell(figures, leaks)
    save("serving", {"clients": CLIENTS, "diagnoses": figures, "uploads": leaks})


async def _load(server: Server) -> list[dict[str, Any]]:
    """The same load three times: quick models alone, with slow ones beside, and with everything to see."""
    recordings = [_recording(seed) for seed in range(8)]
    async with server.client() as client:
        await _burst(client, recordings, 64, {"section": _SECTION})  # workers start and load the model
        before = server.processor_s()
        found = [{"what": "alone", **await _burst(client, recordings, REQUESTS, {"section": _SECTION})}]
        after = server.processor_s()
        found[0]["processor_ms_each"] = {
            name: 1_000 * (after[name] - seconds) / REQUESTS for name, seconds in before.items()
        }
        await _diagnosis(client, recordings[0], {"section": _SLOW_SECTION})  # the slow worker starts
        stop = asyncio.Event()
        slow = asyncio.create_task(_slow(client, recordings[0], stop))
        found.append({"what": "beside AST", **await _burst(client, recordings, REQUESTS, {"section": _SECTION})})
        stop.set()
        found[-1]["slow"] = await slow
        everything = {"section": _SECTION, "include": "all"}
        found.append({"what": "with pictures", **await _burst(client, recordings, REQUESTS // 2, everything)})
    return found


async def _burst(
    client: httpx.AsyncClient, recordings: list[bytes], count: int, fields: dict[str, str]
) -> dict[str, Any]:
    """So many diagnoses by all clients: how many a second, and how long they took (ms)."""
    left = iter(range(count))
    took: list[float] = []
    codes: Counter[int] = Counter()

    async def one() -> None:
        for number in left:
            began = time.perf_counter()
            codes[await _diagnosis(client, recordings[number % len(recordings)], fields)] += 1
            took.append(1_000 * (time.perf_counter() - began))

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    seconds = time.perf_counter() - began
    p50, p99 = np.quantile(took, (0.5, 0.99))
    return {
        "requests": count,
        "per_second": count / seconds,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "longest_ms": max(took),
        "statuses": {str(code): number for code, number in sorted(codes.items())},
        "load_average_1min": os.getloadavg()[0],
    }


async def _slow(client: httpx.AsyncClient, sound: bytes, stop: asyncio.Event) -> dict[str, int]:
    """Ask for slow diagnoses, more than fit the queue, until told to stop; how they were answered."""
    codes: Counter[int] = Counter()

    async def one() -> None:
        while not stop.is_set():
            code = await _diagnosis(client, sound, {"section": _SLOW_SECTION})
            codes[code] += 1
            if code == 503:
                await asyncio.sleep(0.5)

    await asyncio.gather(*(one() for _ in range(SLOW_CLIENTS)))
    return {str(code): number for code, number in sorted(codes.items())}


async def _diagnosis(client: httpx.AsyncClient, sound: bytes, fields: dict[str, str]) -> int:
    answer = await client.post("/diagnoses", files={"file": ("a.wav", sound)}, data=fields)
    return answer.status_code


async def _uploads(server: Server) -> dict[str, Any]:
    """A thousand good and bad uploads after as many as it takes to get warm, and what is held before and after."""
    async with server.client() as client:
        await _send_many(client, range(100))
        await asyncio.sleep(2)
        before = server.held()
        codes = await _send_many(client, range(100, 100 + UPLOADS))
        await asyncio.sleep(2)
        after = server.held()
    return {"count": UPLOADS, "statuses": codes, "before": before, "after": after}


async def _send_many(client: httpx.AsyncClient, numbers: range) -> dict[str, int]:
    left, codes = iter(numbers), Counter[int]()
    good = _recording(1)

    async def one() -> None:
        for number in left:
            codes[await _send(client, number, good)] += 1

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return {str(code): number for code, number in sorted(codes.items())}


async def _send(client: httpx.AsyncClient, number: int, good: bytes) -> int:
    """One of ten kinds of upload, four of them good."""
    kind = number % 10
    if kind < 3:
        return await _diagnosis(client, good, {"section": _SECTION})
    if kind < 7:
        bad = [b"", b"no audio at all", good[:1_000], b"RIFF" + os.urandom(5_000)][kind - 3]
        return await _diagnosis(client, bad, {"section": _SECTION})
    if kind == 7:
        return await _diagnosis(client, good, {"section": "bench/fan/nowhere"})
    wanted = {"customer": "bench", "package": f"upload-{number}", "bytes": 5_000}
    made = await client.post("/uploads", json=wanted)
    if made.status_code != 201:
        return made.status_code
    place = made.headers["location"].removeprefix("/api/v1")
    piece = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    sent = await client.patch(place, content=os.urandom(6_000 if kind == 8 else 5_000), headers=piece)
    await client.delete(place)
    return sent.status_code


def _prepare(root: Path) -> None:
    """Fit the models: a package for each, through the stages up to models."""
    checkpoint = root / "weights" / "ast"
    _tiny_ast(checkpoint)
    for encoder, section in (("logmel", _SECTION), ("ast", _SLOW_SECTION)):
        params = with_overrides(Params(), {**_BASE, "embeddings.encoder": encoder})
        _fit(root, section, params)


def _fit(root: Path, section: str, params: Params) -> None:
    from alp_assets.stages.catalog import run_stage
    from alp_assets.stages.package import STAGES, PackageFolder
    from alp_assets.stages.upload import upload

    customer, machine, name = section.split("/")
    folder = PackageFolder(root, customer, name)
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place) / "p.zip"
        rows = ["relative_path,machine_type,section_id,recorded_at,operator_confirmed"]
        with zipfile.ZipFile(archive, "w") as target:
            for number in range(12):
                path = f"audio/{number}.wav"
                target.writestr(path, _recording(100 + number))
                rows.append(f"{path},{machine},{name},2026-11-01 10:00,yes")
            target.writestr("metadata.csv", "\n".join(rows))
        upload(folder, params, archive=archive)
    for stage in STAGES[1 : STAGES.index("models") + 1]:
        run_stage(stage, folder, params)


def _recording(seed: int) -> bytes:
    """Ten seconds of a humming machine as WAV."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(10 * _RATE) / _RATE
    sound = sum(0.05 / k * np.sin(2 * np.pi * 120 * k * seconds + rng.uniform(0, 6)) for k in range(1, 5))
    stream = io.BytesIO()
    sf.write(stream, (sound + 0.01 * rng.standard_normal(seconds.size)).astype(np.float32), _RATE, format="WAV")
    return stream.getvalue()


def _tiny_ast(folder: Path) -> None:
    """A checkpoint with random weights in the form that transformers saves."""
    import torch
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(0)
    shape = {"hidden_size": _AST_WIDTH, "num_attention_heads": 4, "intermediate_size": 4 * _AST_WIDTH}
    model = ASTForAudioClassification(ASTConfig(num_hidden_layers=_AST_LAYERS, **shape))
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    ASTFeatureExtractor().save_pretrained(folder)


@contextmanager
def _serving(root: Path) -> Iterator[Server]:
    """`alp serve` on a free port, for as long as the block runs."""
    settings = {**_BASE, "web.requests_per_minute": 1_000_000, "web.uploads_open": 100}
    chosen = [f"--set={name}={json.dumps(value)}" for name, value in settings.items()]
    command = [sys.executable, "-m", "alp_assets"]
    made = [*command, "keys", "add", "--role", "admin", "--customer", "*", "--data", str(root), "--json"]
    key = json.loads(subprocess.run(made, check=True, capture_output=True, text=True).stdout)["key"]
    started = [*command, "serve", "--port", "0", "--data", str(root), *chosen]
    with (root / "serve.log").open("w+") as log:
        process = subprocess.Popen(started, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = _address(process, root / "serve.log")
            yield Server(process.pid, url, key, root)
        finally:
            process.terminate()
            process.wait(60)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where the server is, once it answers.

    Raises:
        RuntimeError: it does not.
    """
    latest = time.monotonic() + _STARTING_S
    while time.monotonic() < latest and process.poll() is None:
        found = re.search(r"http://[\d.]+:\d+", log.read_text())
        if found:
            try:
                httpx.get(f"{found[0]}/api/v1/health", timeout=5)
            except httpx.TransportError:
                pass
            else:
                return found[0]
        time.sleep(0.2)
    raise RuntimeError(f"the server does not answer; it said:\n{log.read_text()[-4000:]}")


def _tell(figures: list[dict[str, Any]], leaks: dict[str, Any]) -> None:
    rows = [
        [
            item["what"],
            f"{item['per_second']:.1f}",
            f"{item['p50_ms']:.0f}",
            f"{item['p99_ms']:.0f}",
            ", ".join(f"{code}: {number}" for code, number in item["statuses"].items()),
            ", ".join(f"{code}: {number}" for code, number in item.get("slow", {}).items()),
        ]
        for item in figures
    ]
    title = (
        f"Diagnoses of a 10 s clip, {CLIENTS} clients (target {TARGET_PER_SECOND:g}/s, p99 {TARGET_P99_MS:g} ms)"
    )
    show(title, ["", "per second", "p50 ms", "p99 ms", "answers", "slow answers"], rows)
    before, after = leaks["before"], leaks["after"]
    names = {"server_bytes": "memory of the server, MB", "workers_bytes": "memory of the workers, MB"}
    held = [
        [names.get(name, name.replace("_", " ")), *(_plain(name, item[name]) for item in (before, after))]
        for name in before
    ]
    show(f"Before and after {leaks['count']} good and bad uploads", ["", "before", "after"], held)
    cores = len(os.sched_getaffinity(0))
    took = figures[0]["processor_ms_each"]
    say(f"Processor time for each: {took['server']:.1f} ms in the server, {took['workers']:.1f} in a worker.")
    say(f"The machine's load average was {figures[0]['load_average_1min']:.1f} on {cores} cores.")


def _memory(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # processes come and go
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def _entries(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir())


def _plain(name: str, value: int) -> str:
    return f"{value / 1e6:.1f}" if name.endswith("_bytes") else str(value)


if __name__ == "__main__":
    main()
