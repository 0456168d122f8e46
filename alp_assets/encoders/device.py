"""Where a pretrained encoder runs, in which precision, and how many clips at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from threadpoolctl import ThreadpoolController

Precision = Literal["float32", "bfloat16"]

_GPU_CLIPS = 16
"""As many as the embeddings stage hands over at a time."""

_THREADS_PER_CLIP = 8
"""On a CPU the matrix products of one clip keep about this many threads busy."""

_CPU_BYTES = 2**30


@dataclass(frozen=True)
class Placement:
    """A device, and the precision of the matrix products on it."""

    device: Literal["cpu", "cuda"]
    precision: Precision

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch names it."""
        import torch

        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32


def place(precision: Literal["auto", "float32", "bfloat16"]) -> Placement:
    """The GPU where there is one; ``auto`` is bfloat16 where the hardware computes in it."""
    import torch

    device: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        return Placement(device, "bfloat16" if computes_bfloat16(device) else "float32")
    return Placement(device, precision)


def computes_bfloat16(device: str) -> bool:
    """Whether bfloat16 products run in hardware: tensor cores, AMX or AVX512-BF16; elsewhere they are slower."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    return bool(set(bfloat16_instructions()) - {"sve_bf16"})


def bfloat16_instructions() -> tuple[str, ...]:
    """What this CPU has for bfloat16, by the names of the instruction sets."""
    import torch

    found = torch.cpu.get_capabilities()
    return tuple(name for name in ("amx_bf16", "avx512_bf16", "sve_bf16") if found.get(name))


def clips_at_a_time(placement: Placement, bytes_per_clip: int) -> int:
    """How many clips go through together: enough to keep the device busy, as memory allows."""
    import torch

    if placement.device == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return max(1, min(_GPU_CLIPS, free // 4 // bytes_per_clip))
    return max(1, min(torch.get_num_threads() // _THREADS_PER_CLIP, _CPU_BYTES // bytes_per_clip))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work in the calling thread alone: for small networks, of which each thread has one clip.

    What several threads share out among them is also rounded otherwise than what one does. OpenMP keeps the number
    for each calling thread, so nobody else's changes.
    """
    import torch

    torch.get_num_threads()  # sets the number where a thread asks for it the first time
    with _openmp().limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _openmp() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="openmp")
