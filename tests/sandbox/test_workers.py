"""Decoders' processes: work comes back whole, and whatever one of them does costs its own file alone."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from alp_assets.errors import DecodingStopped
from alp_assets.sandbox import workers
from alp_assets.sandbox.confine import give_up_writing
from alp_assets.sandbox.line import ARENA_BYTES, Refusal
from alp_assets.sandbox.workers import Limits, served

LIMITS = Limits(seconds=20, memory_mb=256)
HASTY = Limits(seconds=0.5, memory_mb=256)


def run(job, data=b"", request=None, limits=LIMITS):
    """Head and contents of a job on some bytes."""
    with served(f"tests.sandbox.jobs:{job}", memoryview(data), request or {}, limits) as found:
        return found.head, b"".join(found.buffers())


def stopped(how, limits=LIMITS):
    with pytest.raises(DecodingStopped) as caught:
        run("misbehave", how.encode(), limits=limits)
    return caught.value.problem


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone_within(pid, seconds):
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pid)


@pytest.mark.parametrize("size", [0, 1, 1000, ARENA_BYTES, 2 * ARENA_BYTES + 3])
def test_contents_come_back_whole_from_memory_and_from_a_file(tmp_path, size):
    data = os.urandom(size)
    assert run("echo", data)[1] == data
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as stream:
        stream.read(10)  # where it stands makes no difference
        with served("tests.sandbox.jobs:echo", stream, {"piece": 100_000}, LIMITS) as found:
            assert b"".join(found.buffers()) == data
            assert found.head["request"] == {"piece": 100_000}


def test_a_short_file_after_a_long_one_has_nothing_of_it():
    run("echo", b"long" * 1000)
    assert run("echo", b"short")[1] == b"short"


def test_one_process_does_one_file_after_the_other():
    assert len({run("echo", b"x")[0]["pid"] for _ in range(5)}) == 1


def test_files_at_the_same_time_have_processes_of_their_own():
    together = threading.Barrier(3)
    pids = []

    def work():
        with served("tests.sandbox.jobs:echo", memoryview(b"x"), {}, LIMITS) as found:
            together.wait(20)
            pids.append(found.head["pid"])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pids)) == 3


@pytest.mark.parametrize("late", [False, True])
def test_a_refusal_comes_back_in_its_own_words_and_the_process_stays(late):
    pids = []
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            run("refuse", request={"late": late})
        assert caught.value.values["why"] == "not today"
        pids.append(caught.value.values["pid"])
    assert len(set(pids)) == 1


@pytest.mark.parametrize("read", [0, 1, 2])
def test_what_is_not_read_does_no_harm(read):
    data = os.urandom(5_000)
    with served("tests.sandbox.jobs:echo", memoryview(data), {"piece": 1_000}, LIMITS) as found:
        pieces = found.buffers()
        for _ in range(read):
            next(pieces)
    head, again = run("echo", b"next")
    assert again == b"next"
    assert head["pid"] == found.head["pid"]


def test_an_error_of_the_caller_is_the_callers():
    def careless():
        with served("tests.sandbox.jobs:echo", memoryview(b"x" * 9_000_000), {}, LIMITS) as found:
            next(found.buffers())
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        careless()
    assert run("echo", b"next")[1] == b"next"


@pytest.mark.parametrize("how", ["hang", "spin"])
def test_a_stuck_decoder_is_ended_after_its_time(how):
    with served("tests.sandbox.jobs:misbehave", memoryview(b""), {}, HASTY) as found:
        pid = found.head["pid"]
    began = time.monotonic()
    problem = stopped(how, HASTY)
    assert time.monotonic() - began < 60
    assert (problem.code, problem.values) == ("decoding_too_long", {"seconds": 0.5})
    assert gone_within(pid, 2)
    assert run("echo", b"next")[1] == b"next"


def test_time_that_the_caller_takes_is_not_the_decoders():
    with served("tests.sandbox.jobs:echo", memoryview(b"x" * 2_000), {"piece": 1_000}, HASTY) as found:
        for _ in found.buffers():
            time.sleep(0.6)


@pytest.mark.parametrize(
    ("how", "code", "word"),
    [
        ("crash", "decoding_broke", "SIGSEGV"),
        ("vanish", "decoding_broke", "EOF"),
        ("fail", "decoding_broke", "LookupError: of all things"),
        ("swell", "decoding_broke", ""),
        ("babbleffffffff", "decoding_broke", "4294967295"),
        ("babble020000003130", "decoding_broke", "no object"),
        ("babble0400000078787878", "decoding_broke", ""),
        ("eat", "decoding_memory", "256"),
        ("killed", "decoding_memory", "256"),
    ],
)
def test_a_decoder_that_breaks_costs_its_own_file_alone(how, code, word):
    problem = stopped(how)
    assert problem.code == code
    assert word in str(problem)
    for language in ("en", "ko"):
        assert all(problem.told(language))
    assert run("misbehave", b"well")[1] == b"as if nothing were"


def test_a_decoder_that_sends_an_impossible_size_is_broken():
    text = b'{"bytes": 99999999}'
    assert stopped("babble" + (len(text).to_bytes(4, "little") + text).hex()).code == "decoding_broke"


def test_a_decoder_sees_no_secrets_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ALP_TEST_SECRET", "x")
    (tmp_path / "there").write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as server:
        request = {"outside": str(tmp_path), "port": server.getsockname()[1]}
        with served("tests.sandbox.jobs:look_around", memoryview(b""), request, Limits(20, 257)) as found:
            reached = dict(found.head)
    assert "ALP_TEST_SECRET" not in reached.pop("variables")
    assert reached.pop("read") == "done"  # SECURITY.md says so
    if not _landlocked():
        pytest.skip("this kernel has no Landlock: files can be made, with nothing in them")
    assert set(reached.values()) == {"PermissionError"}, reached
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "mine"


def test_without_landlock_not_a_byte_can_be_written(tmp_path):
    code = "from alp_assets.sandbox.confine import leave_no_files; leave_no_files(); open('f', 'wb').write(b'x')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, env=_here())
    assert (tmp_path / "f").read_bytes() == b""


@pytest.mark.parametrize("at_work", [False, True])
def test_decoders_end_with_their_caller_even_if_it_is_killed(at_work):
    code = f"""
        import sys, time
        from alp_assets.sandbox.workers import Limits, served
        with served("tests.sandbox.jobs:echo", memoryview(b"x" * 100), {{"piece": 10}}, Limits(1, 256)) as found:
            print(found.head["pid"], flush=True)
            if {at_work}:
                time.sleep(600)
        time.sleep(600)
    """
    caller = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, env=_here())
    pid = int(caller.stdout.readline())
    assert alive(pid)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    caller.stdout.close()
    assert gone_within(pid, 5)


def test_a_decoder_ends_itself_where_nobody_is_left_to_end_it():
    """Stuck, and its caller killed: its alarm rings some seconds after its time."""
    code = """
        from alp_assets.sandbox.workers import Limits, served
        with served("tests.sandbox.jobs:misbehave", memoryview(b"hang"), {}, Limits(1, 256)) as found:
            print(found.head["pid"], flush=True)
            list(found.buffers())
    """
    caller = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, env=_here())
    pid = int(caller.stdout.readline())
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert gone_within(pid, 9)


@pytest.mark.parametrize("hang", [False, True])
def test_what_a_decoder_has_started_ends_with_it(hang):
    job, limits = "tests.sandbox.forking:serve", Limits(seconds=1, memory_mb=256 + hang)
    stops = pytest.raises(DecodingStopped) if hang else contextlib.nullcontext()
    with stops, served(job, memoryview(b""), {"hang": hang}, limits) as found:
        beside = found.head["beside"]
        assert alive(beside)
        list(found.buffers())
    workers._end_all()
    assert gone_within(beside, 5)


def test_a_fork_leaves_its_parents_decoders_alone():
    before = run("echo", b"x")[0]["pid"]
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os._exit(0 if run("echo", b"child") == ({"pid": before}, b"") else 3 if not workers._idle else 4)
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4  # it has made one of its own
    head, data = run("echo", b"parent")
    assert (head["pid"], data) == (before, b"parent")


def test_no_files_are_left_open():
    run("echo", b"x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        run("echo", b"x")
        stopped("crash")
        with served("tests.sandbox.jobs:echo", io.BytesIO(b"y").getbuffer(), {}, LIMITS):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def _landlocked():
    child = os.fork()
    if not child:
        os._exit(0 if give_up_writing() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _here():
    return {**os.environ, "PYTHONPATH": str(Path.cwd())}
