"""The launcher: brings a gateway up, watches over it until a signal, and ends it.

It runs no event loop and no thread, so that there is nothing in it that can hang, leak or break a fork: it
sleeps until a child says that it is ready, a child ends, or a signal arrives.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidSettings
from gateway.processes.core_dumps import forbid_core_dumps
from gateway.processes.file_pages import let_go
from gateway.processes.preloading import preload, preload_control
from gateway.processes.replacing import Replacing
from gateway.processes.reports import ReportDirectory
from gateway.processes.signals import heeded
from gateway.processes.slots import Slot
from gateway.processes.state import StateDirectory
from gateway.processes.tls import read_contexts
from gateway.processes.tree import TICK_SECONDS, Tree
from gateway.telemetry.slab import SlabDirectory

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from gateway.processes.signals import Signals
    from gateway.settings import Settings
    from gateway.store.embedded import EmbeddedServer

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 0.35
"""Within so long every worker has said whether it has traffic: one whose first callers just came looks idle before."""

NAMED: Final = 8
"""So many of the reasons for which a start waits are told at once."""

PROGRESS_SECONDS: Final = 2.0
"""How often a start that takes long says what it waits for."""


class Launcher:
    """Runs a gateway until it is told to stop."""

    def __init__(
        self, settings: Settings, store: EmbeddedServer | None, on_ready: Callable[[str, str, float], None]
    ) -> None:
        """*on_ready* is given the addresses of both ports and the seconds it took, once, when all workers are ready."""
        self._settings = settings
        self._store = store
        self._on_ready = on_ready
        self._state = StateDirectory(settings.state_dir)
        self._tree = Tree(settings, store, self._state)

    def run(self) -> int:
        """Start everything, keep it running, and return the exit code. Raises InvalidSettings, StateDirectoryInUse."""
        began = time.monotonic()
        settings, tree = self._settings, self._tree
        forbid_core_dumps()
        tree.tls = read_contexts(settings)
        self._state.take()
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self._state.leave)
            signals = cleanup.enter_context(heeded())
            admin = tree.open_ports()
            if self._store is not None:
                cleanup.callback(self._store.stop)
                tree.store_url = self._store.launch()
            cleanup.callback(tree.end_everything)
            preload(grpc=bool(settings.grpc_port), collector=bool(settings.otlp_endpoint))  # while the store starts
            tree.keep_up()
            preload_control()  # while the workers start
            tree.control = Slot(0, admin)
            tree.keep_up()
            if self._store is not None:
                self._store.wait()  # the workers start meanwhile, and go without it if it takes too long
            self._watch(signals, began)
            self._stop(signals)
        return 0

    def _watch(self, signals: Signals, began: float) -> None:
        """Keep everything running until a signal ends it."""
        replacing = Replacing(self._tree, signals, self._settings.worker_memory)
        announced = False
        next_word = began + PROGRESS_SECONDS
        while True:
            self._tree.keep_up()
            if not announced and all(slot.is_up() for slot in self._tree.all_slots()):
                announced = True
                self._on_ready(*self._addresses(), time.monotonic() - began)
                let_go()
            elif not announced and time.monotonic() > next_word:
                next_word += PROGRESS_SECONDS
                log.info("still starting after %.0f s: %s", time.monotonic() - began, self._waited_for())
            replacing.lighten()
            self._tree.wait(signals, TICK_SECONDS)
            for number in signals.taken():
                if number is signal.SIGHUP:
                    is_read = self._read_certificates()
                    replacing.roll()
                    if is_read and self._tree.tls.admin is not None:
                        replacing.renew_control()
                else:
                    return

    def _waited_for(self) -> str:
        """Return what the workers that have something to say are waiting for, and why."""
        reasons: dict[str, str] = {}
        for report in ReportDirectory(self._state.reports).reports():
            reasons.update(report.not_ready)
        named = [f"{culprit}: {reason}" for culprit, reason in sorted(reasons.items())]
        if len(named) > NAMED:
            named[NAMED:] = [f"and {len(named) - NAMED} more"]
        return "; ".join(named) or "the processes"

    def _addresses(self) -> tuple[str, str]:
        assert self._tree.control is not None
        inference = _address(self._tree.slots[0].entrance.sock, is_secured=self._tree.tls.inference is not None)
        return inference, _address(self._tree.control.entrance.sock, is_secured=self._tree.tls.admin is not None)

    def _read_certificates(self) -> bool:
        """Read the certificates again, for what is started from now on, and say whether that went well."""
        try:
            self._tree.tls = read_contexts(self._settings)
        except InvalidSettings as exc:
            log.error("%s; the certificates read before stay in force", exc)
            return False
        return True

    def _stop(self, signals: Signals) -> None:
        """Be not ready for the drain delay while every request is still answered, then stop."""
        if self._settings.drain_delay:
            self._wait_until(signals, time.monotonic() + BEAT_SECONDS)
        if self._is_idle():
            log.info("stopping")
        else:
            log.info("draining for %g s, then stopping; a second signal stops at once", self._settings.drain_delay)
            for slot in self._tree.slots:
                if slot.child is not None:
                    slot.child.tell(signal.SIGUSR1)
            self._wait_until(signals, time.monotonic() + self._settings.drain_delay)

    def _wait_until(self, signals: Signals, until: float) -> None:
        """Wait until *until*, on the monotonic clock, or for a second signal."""
        while (left := until - time.monotonic()) > 0 and not signals.taken():
            self._tree.wait(signals, left)

    def _is_idle(self) -> bool:
        recently = time.monotonic() - max(self._settings.drain_delay, 1.0)
        beats = SlabDirectory(self._state.slabs).gauges()
        return all(not beat.in_flight and beat.last_request_at < recently for beat in beats)


def _address(sock: socket.socket, *, is_secured: bool) -> str:
    host, port = sock.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - this does not bind: it says where a bound socket can be reached
        host = "127.0.0.1"
    scheme = "https" if is_secured else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
