"""What the kernel no longer does for a decoder's process: acts that reach beyond it fail, and decoding goes on."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
from pathlib import Path

import pytest

from alp_assets.sandbox import calls, workers
from alp_assets.sandbox.workers import Limits, served

LIMITS = Limits(seconds=20, memory_mb=258)
ALLOW, NO_PERMISSION, UNKNOWN = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS


def head_of(job, request=None, limits=LIMITS):
    with served(job, memoryview(b""), request or {}, limits) as found:
        return found.head


@pytest.fixture(scope="module")
def filtered():
    """Skips where the kernel filters nothing."""
    child = os.fork()
    if not child:
        os._exit(0 if calls.forbid_calls() else 1)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        pytest.skip("this kernel has no filters for this processor: SECURITY.md says what a decoder can do then")


@pytest.fixture
def reached(filtered, tmp_path):
    """What came of each act of a decoder, and that nothing outside has noticed."""
    there = tmp_path / "there"
    there.write_text("mine")
    before = there.stat()
    with (
        socket.socket(socket.AF_UNIX) as unix,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        unix.bind(str(tmp_path / "socket"))
        unix.listen()
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        udp.setblocking(False)
        found = head_of("tests.sandbox.jobs:reach_out", {"outside": str(tmp_path), "port": port})
        with pytest.raises(BlockingIOError):
            udp.recv(1)
    assert there.read_text() == "mine"
    after = there.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime) == (before.st_mode, before.st_uid, before.st_mtime)
    return found


def test_nothing_reaches_beyond_a_decoder(reached):
    newer = {reached.pop("make a call that is newer than the filter"), "OSError"}
    assert newer == {"OSError"}
    assert set(reached.values()) == {"PermissionError"}, reached


def test_threads_of_a_decoder_start_all_the_same(filtered):
    found = head_of("tests.sandbox.jobs:use_threads")
    assert found == {"squares": [0, 1, 4, 9, 16], "filter": "2", "session": True}


def test_what_the_system_does_not_hold_a_decoder_to_is_told_once(monkeypatch, caplog):
    def unheld(line, until=None, receive=workers.receive):
        answer = receive(line, until)
        return {"ready": True} if "ready" in answer else answer

    monkeypatch.setattr(workers, "receive", unheld)
    workers._tell.cache_clear()
    for more in range(2):
        head_of("tests.sandbox.jobs:echo", limits=Limits(20, 300 + more))
    assert [word in caplog.text for word in ("Landlock", "seccomp")] == [True, True]
    assert len(caplog.records) == 2


def verdict(processor, call, *given):
    """What the filter of a processor answers to a call, by name or number."""
    number = calls.numbers(processor)[call] if isinstance(call, str) else call
    given = [value % 2**64 for value in (*given, *[0] * (6 - len(given)))]
    return run(calls.program(processor, pid=77), struct.pack("<iIQ6Q", number, processor.number, 0, *given))


def run(code, data):
    """Follow the instructions of a filter as the kernel does."""
    value = at = 0
    while True:
        operation, yes, no, constant = struct.unpack_from("<HBBI", code, 8 * at)
        at += 1
        match operation:
            case 0x20:
                (value,) = struct.unpack_from("<I", data, constant)
            case 0x54:
                value &= constant
            case 0x15:
                at += yes if value == constant else no
            case 0x25:
                at += yes if value > constant else no
            case 0x06:
                return constant
            case _:
                raise AssertionError(hex(operation))


PROCESSORS = pytest.mark.parametrize("processor", calls.PROCESSORS.values(), ids=calls.PROCESSORS)


@PROCESSORS
def test_what_decoders_need_passes_the_filter(processor):
    named = set(calls.numbers(processor).values())
    assert {verdict(processor, number) for number in range(451) if number not in named} == {ALLOW}
    threads, private, pointer = 0x3D0F00, 0x22, 0x7F00_0000_0000
    assert verdict(processor, "clone", threads) == ALLOW
    assert verdict(processor, "mmap", 0, 4096, 3, private) == ALLOW
    assert verdict(processor, "sendto", 3, pointer, 5, 0, 0, 0) == ALLOW
    assert verdict(processor, "prlimit64", 0, 3, 0, pointer) == ALLOW
    assert verdict(processor, "kill", 77, 11) == verdict(processor, "tgkill", 77, 78, 6) == ALLOW
    assert verdict(processor, "fcntl", 3, 1030) == verdict(processor, "fcntl", 3, 4) == ALLOW
    assert verdict(processor, "ioctl", 3, 0x5401) == verdict(processor, "ioctl", 3, 0x5451) == ALLOW


@PROCESSORS
def test_what_reaches_beyond_a_decoder_does_not_pass_the_filter(processor):
    forks, shared, grows, high = 0x11, 0x21, 0x122, 0x1_0000_0000
    assert verdict(processor, "clone", forks) == NO_PERMISSION
    assert verdict(processor, "clone3", 0, 88) == UNKNOWN
    for flags in (shared, grows, 3):
        assert verdict(processor, "mmap", 0, 4096, 3, flags) == NO_PERMISSION
    for address in (high, 1):
        assert verdict(processor, "sendto", 3, 1, 5, 0, address, 16) == NO_PERMISSION
        assert verdict(processor, "prlimit64", 0, 2, address, 0) == NO_PERMISSION
    for pid in (1, -1, 0, -77, 78):
        assert verdict(processor, "kill", pid, 9) == verdict(processor, "tgkill", pid, 77, 9) == NO_PERMISSION
    for command in (6, 8, 10, 15):
        assert verdict(processor, "fcntl", 0, command, 1) == NO_PERMISSION
    for command in (0x8901, 0x40086602):
        assert verdict(processor, "ioctl", 0, command) == NO_PERMISSION
    for name in ("socket", "connect", "sendmsg", "execve", "ptrace", "memfd_create", "io_uring_setup", "bpf"):
        assert verdict(processor, name) == NO_PERMISSION
    assert {verdict(processor, number) for number in range(451, 600)} == {UNKNOWN}


@PROCESSORS
def test_calls_of_another_kind_of_processor_are_unknown(processor):
    data = struct.pack("<iIQ6Q", 0, 0x40000003, 0, *[0] * 6)  # as of 32 bits
    assert run(calls.program(processor, pid=77), data) == UNKNOWN
    assert verdict(processor, 0x4000_0000) == UNKNOWN  # pointers of 32 bits on x86-64


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_are_those_of_the_kernels_headers(name, header):
    if not Path(header).is_file():
        pytest.skip(f"{header} is not here")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    told = {call: int(number) for call, number in found}
    used = calls.numbers(calls.PROCESSORS[name])
    assert {call: told.get(call, number) for call, number in used.items()} == used
    assert set(used) & set(told)
