"""The embedded store: a Redis-compatible server that lives and dies with the launcher.

It listens on a unix socket only, in a directory of its own that nobody else can enter, and keeps
a journal (append-only file) under ``STATE_DIR/store``. It ends with its parent, also when that is
killed with -9 (on Linux), and no second server ever opens the same journal.

All methods block, and ``start`` belongs to the main thread: the launcher is synchronous.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import quote

from gateway.core.errors import StateDirectoryInUse, StoreUnavailable
from gateway.store.probe import Answer, probe

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS: Final = 5.0
"""A server that does not even answer by then has failed."""

LOAD_SECONDS: Final = 60.0
"""A server that answers that it is loading its journal is waited for so long."""

STOP_SECONDS: Final = 5.0

LOCK_SECONDS: Final = 5.0
"""So long the server of a launcher that was killed may take to end."""

SOCKET_PATH_BYTES: Final = 100
"""A path in a unix socket's address has room for 108 bytes on Linux, 104 on macOS."""

SHIM: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != int(sys.argv[1]): sys.exit("the launcher is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes the server after asking the kernel to end it (PR_SET_PDEATHSIG, SIGTERM) with its parent.

The parent may have died before it asked, hence the look at who the parent is.
"""

URL_FILE: Final = "url"
"""Where the server's URL lies beside its journal, for those on this machine who read from it as this user."""

ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""What the server gets of the environment. The gateway's own holds secrets, which are none of its business."""

DAMAGED: Final = ("Bad file format reading the append only file", "Unexpected end of file reading the append only")
"""What the servers write in their log before they give up on a journal. A torn tail is cut off and is no reason."""


class EmbeddedServer:
    """One server process. ``start`` may be called again after it died: socket, URL and data stay the same."""

    def __init__(self, state_dir: Path, binary: Path) -> None:
        """Keep the journal under *state_dir*, run *binary* (see ``server_binary.find_server``). Starts nothing."""
        self._state_dir = state_dir
        self._directory = state_dir.absolute() / "store"
        self._binary = binary
        self._run_dir: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int | None:
        """The process that was started last, None before the first start and after ``stop``."""
        return None if self._process is None else self._process.pid

    def is_running(self) -> bool:
        """Say whether the server process lives; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Return the URL of the server's socket; if it does not run, start it and wait until it answers.

        Raises StateDirectoryInUse when another server has the journal, StoreUnavailable with the end of
        the server's log when it does not come up.
        """
        was_running = self.is_running()
        url = self.launch()
        if not was_running:
            self.wait()
        return url

    def launch(self) -> str:
        """Return the URL of the server's socket; start it if it does not run. Raises StateDirectoryInUse."""
        if threading.current_thread() is not threading.main_thread():
            # The kernel's signal follows the thread that forked: the server would die with that thread.
            raise RuntimeError("the embedded store must be started from the main thread")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._run_dir = self._run_dir or _short_directory()
        socket_path = self._run_dir / "s"
        if not self.is_running():
            with self._lock() as lock, self._fresh_log() as log:
                self._process = self._spawn(socket_path, lock.fileno(), log)
                _write_holder(lock, self._process.pid)
        url = f"unix://{quote(str(socket_path))}"
        (self._directory / URL_FILE).write_text(url, encoding="utf-8")
        return url

    def wait(self) -> None:
        """Return when the server answers. Raises StoreUnavailable, and leaves no process behind."""
        assert self._run_dir is not None, "launch it first"
        socket_path = self._run_dir / "s"
        started = time.monotonic()
        while True:
            answer = probe(socket_path)
            waited = time.monotonic() - started
            if answer is Answer.READY:
                return
            if not self.is_running():
                raise self._failure("ended")
            if waited > (LOAD_SECONDS if answer is Answer.LOADING else START_SECONDS):
                self._kill()
                raise self._failure(f"did not answer within {waited:.0f} s")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server, give it a moment to sync its journal, and remove its socket. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._run_dir is not None:
            shutil.rmtree(self._run_dir, ignore_errors=True)
            (self._directory / URL_FILE).unlink(missing_ok=True)
            self._run_dir = None

    def _spawn(self, socket_path: Path, lock: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        server = [str(self._binary), *_options(socket_path, self._directory)]
        shim = [sys.executable, "-I", "-S", "-c", SHIM, str(os.getpid())] if sys.platform == "linux" else []
        return subprocess.Popen(
            [*shim, *server],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            pass_fds=(lock,),
            # A Ctrl-C in the terminal is for the launcher, which drains before it stops the store.
            process_group=0,
        )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[IO[bytes]]:
        """Hold the lock on the journal until the server has inherited it; the kernel frees it when that ends."""
        with (self._directory / "lock").open("ab+") as file:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    file.seek(0)
                    raise StateDirectoryInUse(
                        str(self._state_dir), file.read(20).decode("ascii", "replace") or "unknown"
                    )
                time.sleep(0.02)
            yield file

    def _fresh_log(self) -> IO[bytes]:
        """Open an empty log and keep the one before it: it says why the last server died."""
        path = self._directory / "server.log"
        with contextlib.suppress(FileNotFoundError):
            path.replace(path.with_suffix(".log.1"))
        return path.open("wb")

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _failure(self, what: str) -> StoreUnavailable:
        tail = (self._directory / "server.log").read_bytes()[-2000:].decode("utf-8", "replace").splitlines()[-8:]
        said = "\n".join(tail)
        advice = ""
        if any(words in said for words in DAMAGED):
            advice = (
                f"; its journal is damaged. Repair it with `redis-check-aof --fix` on the manifest under "
                f"{self._directory}/appendonlydir, or move {self._directory} aside: the gateway then starts with an "
                f"empty store, serves the routes of its snapshot, and `gateway routes restore` writes them back"
            )
        return StoreUnavailable(f"the embedded store {self._binary} {what}{advice}. The end of its log:\n{said}")


def embedded_url(state_dir: Path) -> str | None:
    """Return the URL of the server whose journal lies in *state_dir*; None where none was started.

    One that was killed leaves its URL behind, and nobody answers there.
    """
    try:
        return (state_dir / "store" / URL_FILE).read_text(encoding="utf-8")
    except OSError:
        return None


def _options(socket_path: Path, directory: Path) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


def _short_directory() -> Path:
    """Return a new directory for the socket, closed to others, whose path leaves room for its name."""
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp is safe there
        if parent and len(os.fsencode(parent)) + len("/gateway-12345678/s") <= SOCKET_PATH_BYTES:
            with contextlib.suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="gateway-", dir=parent))
    raise StoreUnavailable("no directory for the embedded store's socket; set TMPDIR to a short, writable path")


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(lock: IO[bytes], process_id: int) -> None:
    """Note who holds the lock, for whoever is refused."""
    lock.truncate(0)
    lock.write(str(process_id).encode())
    lock.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask *process* to end, then make it. One that is frozen must be thawed to hear it."""
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
