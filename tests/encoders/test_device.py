"""Precision and batch size follow what the hardware has."""

import pytest
import torch

from alp_assets.encoders.device import Placement, bfloat16_instructions, clips_at_a_time, place


@pytest.fixture
def cpu(monkeypatch):
    """A CPU with these instruction sets and threads, and no GPU."""

    def having(*instructions, threads=2):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(("avx2", *instructions), True))
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    return having


@pytest.mark.parametrize(
    ("instructions", "precision"),
    [((), "float32"), (("avx512_bf16",), "bfloat16"), (("amx_bf16", "avx512_bf16"), "bfloat16")],
)
def test_auto_is_bfloat16_where_the_processor_computes_in_it(cpu, instructions, precision):
    cpu(*instructions)
    assert place("auto") == Placement("cpu", precision)
    assert set(bfloat16_instructions()) == set(instructions)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_precision_that_is_asked_for_is_taken(cpu, precision):
    cpu("amx_bf16")
    assert place(precision) == Placement("cpu", precision)
    assert place(precision).dtype == getattr(torch, precision)


@pytest.mark.parametrize(("major", "precision"), [(7, "float32"), (8, "bfloat16"), (9, "bfloat16")])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, major, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (major, 0))
    assert place("auto") == Placement("cuda", precision)


def test_batches_follow_threads_and_memory(cpu, monkeypatch):
    one = Placement("cpu", "float32")
    cpu(threads=2)
    assert clips_at_a_time(one, 10**7) == 1
    cpu(threads=64)
    assert clips_at_a_time(one, 10**7) == 8
    assert clips_at_a_time(one, 10**9) == 1
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (80 * 10**9, 80 * 10**9))
    assert clips_at_a_time(Placement("cuda", "bfloat16"), 10**8) == 16
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (4 * 10**9, 80 * 10**9))
    assert clips_at_a_time(Placement("cuda", "bfloat16"), 10**8) == 10
