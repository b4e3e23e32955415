"""A process that is ready lets go of the pages of files that it read for its start, and of nothing else."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from gateway.processes import file_pages
from gateway.processes.file_pages import let_go, untouched

SMAPS: Final = """\
55d0c6a00000-55d0c6a02000 r--p 00000000 fe:00 1234                       /usr/bin/python3
Rss:                   8 kB
Anonymous:             0 kB
55d0c6a02000-55d0c6a03000 r-xp 00002000 fe:00 1234                       /usr/lib/a library (deleted)
Rss:                   4 kB
Anonymous:             0 kB
55d0c6a03000-55d0c6a04000 r--p 00003000 fe:00 1234                       /usr/lib/relocated
Rss:                   4 kB
Anonymous:             4 kB
55d0c6a04000-55d0c6a05000 rw-p 00004000 fe:00 1234                       /usr/lib/written
Anonymous:             0 kB
55d0c6a05000-55d0c6a06000 r--s 00000000 fe:00 99                         /state/slab
Anonymous:             0 kB
55d0c6a06000-55d0c6a07000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffe00000000-7ffe00002000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
"""
PAGES: Final = 64

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_only_private_mappings_of_files_that_nobody_wrote_to_or_can_are_let_go() -> None:
    assert list(untouched(SMAPS.splitlines(keepends=True))) == [
        (0x55D0C6A00000, 0x55D0C6A02000),
        (0x55D0C6A02000, 0x55D0C6A03000),
    ]


def test_a_process_that_is_not_told_of_its_pages_keeps_them_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_pages, "SMAPS", tmp_path / "not mounted")

    let_go()


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A file of so many pages, each filled with its number."""
    path = tmp_path / "pages"
    path.write_bytes(b"".join(bytes([number]) * mmap.PAGESIZE for number in range(PAGES)))
    return path


def _resident_kib(path: Path) -> int:
    lines = iter(Path("/proc/self/smaps").read_text(errors="replace").splitlines())
    assert any(line.endswith(str(path)) for line in lines)
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))


@linux
def test_what_was_read_of_a_file_leaves_memory_and_reads_the_same_again(pages: Path) -> None:
    with pages.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
        assert bytes(mapped) == pages.read_bytes()
        before = _resident_kib(pages)

        let_go()

        assert (before, _resident_kib(pages)) == (PAGES * mmap.PAGESIZE // 1024, 0)
        assert bytes(mapped) == pages.read_bytes()


@linux
def test_what_was_written_over_a_file_stays_though_it_may_no_longer_be_written(pages: Path) -> None:
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    access = mmap.PROT_READ | mmap.PROT_WRITE
    mapped = mmap.mmap(os.open(pages, os.O_RDONLY), 0, mmap.MAP_PRIVATE, access)
    mapped[: mmap.PAGESIZE] = b"\xff" * mmap.PAGESIZE  # as a linker writes a library's relocations
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    assert not protect(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), mmap.PROT_READ)

    let_go()

    assert mapped[: mmap.PAGESIZE] == b"\xff" * mmap.PAGESIZE


GATEWAY: Final = """
import json, os, re, signal, sys
from pathlib import Path
from gateway.processes import control, launcher, worker
from gateway.settings import Settings
from gateway.store.embedded import EmbeddedServer
from gateway.store.server_binary import find_server

TEXT = re.compile(r" r-xp .*onnxruntime_pybind11_state.*\\n(?:\\w*Size: .*\\n)+Rss: +([0-9]+)")

def kib():
    return int(TEXT.search(Path("/proc/self/smaps").read_text(errors="replace"))[1])

def tells(of):
    let_go = of.let_go
    def told():
        before = kib()
        let_go()
        print(json.dumps([of.__name__, before, kib()]) + chr(10), end="", flush=True)  # in one write
        if of is launcher:
            os.kill(os.getpid(), signal.SIGTERM)
    of.let_go = told

for of in (launcher, worker, control):
    tells(of)
state = Path(sys.argv[1])
settings = Settings(
    workers=1, port=0, admin_port=0, grpc_port=0, state_dir=state,
    models=Path("models"), routes=Path("routing_configs"),
)
launcher.Launcher(settings, EmbeddedServer(state, find_server(None)), lambda *_: None).run()
"""


@linux
def test_each_process_lets_go_of_the_runtimes_code_that_its_start_ran(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GATEWAY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]

    name = "gateway.processes."
    assert sorted(each[0] for each in said) == [name + "control", name + "launcher", name + "worker"]
    before = {process.removeprefix(name): kib for process, kib, _ in said}
    assert min(before["launcher"], before["worker"]) > 4096
    assert [kib for _, _, kib in said] == [0, 0, 0]
