"""Spoilt files of strangers go through the readers: what fuzzing has found before, and a few hundred more."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alp_assets.intake.workbook import _merges, _uncomputed
from tests.fuzz.mutate import LONGEST, Mutator
from tests.fuzz.readers import TARGETS, harmless, reader
from tests.fuzz.seeds import SHEET, seeds, swollen
from tools.fuzz import HANG_S, fuzz

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*"))
FORMATS = b"".join(b'<xf numFmtId="%d"/>' % (number**3 % 97) for number in range(500_000))
COMMENT = b'<!--<c r="A9"><f>1</f>%b</c>-->' % (b"<v " * 100_000)
HEADERS = b"relative_path,machine_type,section_id,recorded_at,snr_db\n"
FILES = {"archive": 60, "table": 25, "audio": 60, "signals": 60}


def survives(target, data, scratch):
    began = time.process_time()
    try:
        reader(target)(data, scratch)
    except Exception as error:
        if not harmless(error):
            raise
    assert time.process_time() - began < HANG_S


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_was_found_once_does_no_harm_again(path, tmp_path):
    target, _, _ = path.name.partition("-")
    survives(target, path.read_bytes(), tmp_path)


@pytest.mark.parametrize(
    ("target", "data"),
    [
        ("table", b"relative_path,machine_type" + b",section_id,reco" * 4_000 + b"\n"),
        ("table", b"relative_path,machine_type" + b",a%d" * 8_000 + b"\n"),
        ("table", b"relative_path,machine_type," + b"(" * 120_000 + b"\n"),
        ("table", (b",".join([b"(" * 1_000] * 250) + b"\n") * 20),
        ("table", HEADERS + b"a,%b,1,2025,1\n" % (b"(" * 120_000)),
        ("table", HEADERS + b"a,fan,1,2025,1%b1\n" % (b" " * 120_000)),
        ("table", swollen("xl/styles.xml", b"</cellXfs>", FORMATS)),
        ("table", swollen("xl/workbook.xml", b"</sheets>", SHEET * 8_000)),
        ("table", swollen("xl/worksheets/sheet1.xml", b"</sheetData>", COMMENT)),
        ("signals", b"time,Ia\n" + b"0.1,2\n" * 40 + b"0.2," + b"1" * 60_000 + b"x\n"),
        ("signals", b"0.1 2\n" * 40 + b"0.2" + b" " * 500_000 + b"1\n"),
        ("signals", b"time,Ia\n" + b"2025-02-31 10:00:%02d,1\n" * 40),
    ],
    ids=[
        "headers alike",
        "headers",
        "brackets",
        "brackets in headers",
        "brackets in a cell",
        "spaces in a number",
        "styles",
        "sheets",
        "values in a comment",
        "digits",
        "spaces",
        "31 February",
    ],
)
def test_what_took_for_ever_once_is_quick(target, data, tmp_path):
    survives(target, data, tmp_path)


@pytest.mark.parametrize(
    "around", [(b"<f></f>", b""), (b'<c r="A1"><f>1</f>', b"</c>")], ids=["bare", "in a cell"]
)
@pytest.mark.parametrize(
    "tag", [b"<f>", b"<f ", b"<v ", b"<v>", b'<c r="A1">', b"<c ", b"<mergeCell ", b"<f></f", b"<c><f>", b"<a:"]
)
def test_tags_that_never_close_take_no_longer_than_others(tag, around):
    began = time.process_time()
    part = around[0] + tag * (1_000_000 // len(tag)) + around[1]
    _uncomputed(part), _merges(part)
    assert time.process_time() - began < HANG_S


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS) < 200_000


@pytest.mark.parametrize("target", TARGETS)
def test_whole_files_and_spoilt_ones_do_no_harm(target, tmp_path):
    mutator = Mutator(target, seeds(target), random.Random(1))
    spoilt = [mutator.one() for _ in range(FILES[target])]
    for number, data in enumerate([*seeds(target)[:8], *spoilt]):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        survives(target, data, scratch)


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_seed_spoils_the_same_way_and_never_beyond_the_limit(target):
    one, other = (Mutator(target, seeds(target), random.Random("x")) for _ in range(2))
    for _ in range(50):
        data = one.one()
        assert data == other.one()
        assert len(data) <= LONGEST


@pytest.mark.slow
def test_the_fuzzer_finds_a_crash_an_error_and_a_file_outside(tmp_path):
    """With a reader that has one of each; else its silence would say nothing."""
    pytest.importorskip("atheris", reason="atheris is made for Linux on x86-64 alone")
    lines = """
        import os, sys, tests.fuzz.child as child
        def faulty(data, scratch):
            size = len(data)
            if size % 7 == 0: open(f"{scratch}/../../elsewhere", "w")
            if size % 7 == 1: raise LookupError("of all things")
            if size % 7 == 2 and os.path.exists("ready"): os.abort()
            if size % 7 == 3: open("ready", "w"); raise ValueError("first")
        child.reader = lambda target: faulty
        folder, corpus = map(child.Path, sys.argv[3:5])
        child.main(sys.argv[1], int(sys.argv[2]), folder, corpus, float(sys.argv[5]), int(sys.argv[6]))
    """
    import textwrap

    from tools import fuzz as driver

    (tmp_path / "faulty.py").write_text(textwrap.dedent(lines))
    started = subprocess.Popen

    def start(command, **options):
        place = command.index("-m")
        changed = [*command[:place], str(tmp_path / "faulty.py"), *command[place + 2 :]]
        options["env"] = {**options["env"], "PYTHONPATH": str(Path.cwd())}
        return started(changed, cwd=tmp_path, **options)

    driver.subprocess.Popen, before = start, driver.subprocess.Popen
    try:
        outcome = fuzz("archive", 0.1, "1")
    finally:
        driver.subprocess.Popen = before
    found = " ".join(f"{key} {outcome.texts[key]}" for key in outcome.findings)
    assert "LookupError" in found
    assert "ValueError" in found
    assert "died with -6" in found
    assert "elsewhere" in found
    assert outcome.executions > 3


def test_a_watch_sees_what_is_done_elsewhere(tmp_path):
    code = f"""
        import os, pickle, socket, subprocess, sys
        from pathlib import Path
        from tests.fuzz.watch import Watch
        inside, outside = Path({str(tmp_path / "in")!r}), Path({str(tmp_path / "out")!r})
        inside.mkdir(), outside.mkdir()
        (outside / "old").write_text("x")
        watch = Watch(inside)
        def tried(act):
            with watch:
                try: act()
                except Exception: pass
            return bool(watch.seen)
        assert not tried(lambda: (inside / "a").write_text("x"))
        assert not tried(lambda: (outside / "old").read_text())
        assert tried(lambda: (outside / "a").write_text("x"))
        assert tried(lambda: (inside / "../out/b").write_text("x"))
        assert tried(lambda: (outside / "c").mkdir())
        assert tried(lambda: (inside / "a").rename(outside / "d"))
        assert tried(lambda: (outside / "old").unlink())
        assert tried(lambda: subprocess.run(["true"]))
        assert tried(lambda: os.system("true"))
        assert tried(lambda: pickle.loads(pickle.dumps(Path("x"))))
        assert tried(lambda: socket.create_connection(("127.0.0.1", 9), 0.1))
    """
    import textwrap

    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
