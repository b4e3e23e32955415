"""The launcher: starts the store, the workers and the control process, replaces what dies, and owns the signals.

It runs no event loop and no thread, so that there is nothing in it that can hang, leak or break a fork: it
sleeps until a child says that it is ready, a child ends, or a signal arrives.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import secrets
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from gateway.core.errors import GatewayError, InvalidSettings
from gateway.processes import control, verifier, worker
from gateway.processes.children import Child
from gateway.processes.core_dumps import forbid_core_dumps
from gateway.processes.file_pages import let_go
from gateway.processes.relief import Relief
from gateway.processes.reports import ReportDirectory, forget
from gateway.processes.scales import Scales
from gateway.processes.sockets import Entrance, open_sockets, shared
from gateway.processes.start import NO_TLS, Start
from gateway.processes.state import StateDirectory
from gateway.processes.tls import read_contexts
from gateway.store.client_library import import_bare
from gateway.telemetry.crashes import bury
from gateway.telemetry.slab import SlabDirectory
from gateway.verification.asking import pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from gateway.settings import Settings
    from gateway.store.embedded import EmbeddedServer
    from gateway.telemetry.runs import Running

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.25
BEAT_SECONDS: Final = 0.35
"""Within so long every worker has said whether it has traffic: one whose first callers just came looks idle before."""
FINISH_SECONDS: Final = 35.0
"""How long a child may take from SIGTERM to its end: the 30 s for what is in flight, and a little to say goodbye."""

NAMED: Final = 8
"""So many of the reasons for which a start waits are told at once."""

PROGRESS_SECONDS: Final = 2.0
"""How often a start that takes long says what it waits for."""

WEDGED_SECONDS: Final = 10.0
"""A worker whose event loop has not turned for this long is replaced."""

PATIENCE_SECONDS: Final = 5.0
"""How long new connections wait in the queue of a worker that died for its replacement to be ready."""

CRASHES: Final = frozenset(
    -number for number in (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)
)
"""Ends that a worker's own work causes. SIGKILL is not one: whoever kills a worker would convict what it just ran."""

CRASH_LOOP_SECONDS: Final = 2.0
"""A child that ends sooner than this after its start waits as long before it is started again."""


def preload(*, grpc: bool, collector: bool = False) -> None:
    """Import everything that workers and the verifier run, once, for all of them.

    Starts no thread and leaves no session. *grpc*: whether the gRPC door is open; it is not imported where it is not.
    *collector*: whether a collector of OpenTelemetry is named; most of that is then shared too, for the children will
    import it.
    """
    # Official builds of onnxruntime report sessions by default; the switch is read once, at import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # numpy's BLAS is not used, and its thread pool would not survive the fork.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with _kept():
        if not collector:
            import_bare()
        worker.preload(grpc=grpc)
        verifier.preload()

        from gateway.engine.kernels import register_kernels  # imports the runtime, so after the switches above

        register_kernels()


def preload_control() -> None:
    """Import what the control process runs beyond that."""
    with _kept():
        control.preload()


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """Have the garbage collector look at nothing that is made here, now or ever.

    Imports leave hardly a cycle behind, and looking for them took a tenth of the time. A collection in a child would
    touch, and so copy, every page that is shared.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Slot:
    """A child's place: its socket stays, the processes come and go."""

    def __init__(
        self,
        number: int,
        entrance: Entrance,
        rpc: Entrance | None = None,
    ) -> None:
        """*entrance*: where its process is reached; *rpc*: where a worker is over gRPC, None where that is off."""
        self.number = number
        self.entrance = entrance
        self.rpc = rpc
        self.child: Child | None = None
        self.not_before = 0.0
        self.accept_after = 0.0
        """Seconds that the next process here may let connections wait until it is ready: none at the first start."""
        self.has_died = False
        """Whether the last process here died or hung; the next one counts that."""
        self.lost: tuple[Running, ...] = ()
        """What the last process here was running when it crashed; the next one counts it."""
        self.rests = False
        """Whether its process ended because nobody asked it anything; the next one is started for the next question."""

    def entrances(self) -> Sequence[Entrance]:
        """Return where its process is reached, in the same order for all workers."""
        return [self.entrance] if self.rpc is None else [self.entrance, self.rpc]

    def is_up(self) -> bool:
        """Say whether its process has been ready, or need not be."""
        return self.rests or (self.child is not None and self.child.is_ready())


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
        self._slots: list[Slot] = []
        self._control: Slot | None = None
        self._verifier: Slot | None = None
        self._asked: socket.socket | None = None
        """Where the workers ask the verifier."""
        self._retiring: list[Child] = []
        self._scales = Scales(settings.worker_memory)
        self._relief = Relief()
        self._signals: list[signal.Signals] = []
        self._store_url = ""
        self._mark = secrets.token_hex(4)
        self._tls = NO_TLS

    def run(self) -> int:
        """Start everything, keep it running, and return the exit code. Raises InvalidSettings, StateDirectoryInUse."""
        began = time.monotonic()
        settings = self._settings
        forbid_core_dumps()
        self._tls = read_contexts(settings)
        self._state.take()
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self._state.leave)
            wakeup = cleanup.enter_context(self._signals_as_events())
            sockets = open_sockets(settings.host, settings.port, settings.workers, "--port")
            admin = open_sockets(settings.admin_host, settings.admin_port, 1, "--admin-port")
            rpc: list[Entrance] | list[None] = [None] * len(sockets)
            if settings.grpc_port:
                rpc = shared(open_sockets(settings.host, settings.grpc_port, settings.workers, "--grpc-port"))
            entrances = zip(shared(sockets), rpc, strict=True)
            self._slots = [Slot(number, *both) for number, both in enumerate(entrances)]
            self._asked, hears = pair()
            self._verifier = Slot(0, Entrance(hears))
            if self._store is not None:
                cleanup.callback(self._store.stop)
                self._store_url = self._store.launch()
            cleanup.callback(self._end_everything)
            preload(grpc=bool(settings.grpc_port), collector=bool(settings.otlp_endpoint))  # while the store starts
            self._keep_up()
            preload_control()  # while the workers start
            self._control = Slot(0, Entrance(admin[0]))
            self._keep_up()
            if self._store is not None:
                self._store.wait()  # the workers start meanwhile, and go without it if it takes too long
            self._watch(wakeup, began)
            self._stop(wakeup)
        return 0

    # ---- running

    def _watch(self, wakeup: int, began: float) -> None:
        """Keep everything running until a signal ends it."""
        announced = False
        next_word = began + PROGRESS_SECONDS
        while True:
            self._keep_up()
            if not announced and all(slot.is_up() for slot in self._all_slots()):
                announced = True
                self._on_ready(*self._addresses(), time.monotonic() - began)
                let_go()
            elif not announced and time.monotonic() > next_word:
                next_word += PROGRESS_SECONDS
                log.info("still starting after %.0f s: %s", time.monotonic() - began, self._waited_for())
            self._lighten(wakeup)
            self._wait(wakeup, TICK_SECONDS)
            for number in self._taken():
                if number is signal.SIGHUP:
                    is_read = self._read_certificates()
                    self._roll(wakeup)
                    if is_read and self._tls.admin is not None:
                        self._renew_control()
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

    def _keep_up(self) -> None:
        """Start what is missing: at the beginning everything, later what died or hangs."""
        self._let_rest()
        if self._store is not None and not self._store.is_running():
            log.error("the embedded store ended; it is started again, requests are answered meanwhile")
            self._restart(self._store)
        now, beats = time.monotonic(), SlabDirectory(self._state.slabs).gauges()
        self._relief.look(self._slots, beats, now)
        wedged = frozenset(int(beat.pid) for beat in beats if now - beat.heartbeat > WEDGED_SECONDS)
        for slot in self._all_slots():
            child = slot.child
            if child is not None and child.pid in wedged:
                log.error(
                    "worker %d (process %d) has hung for %s s and is killed", slot.number, child.pid, WEDGED_SECONDS
                )
                child.tell(signal.SIGKILL)
                child.end(within_seconds=1.0)
            if child is not None and child.exit_code is not None:
                self._bury(slot, child, crashed=child.pid in wedged or child.exit_code in CRASHES)
        for slot in self._all_slots():  # after all are buried: who starts knows what ended the others
            if slot.child is None and not slot.rests and time.monotonic() >= slot.not_before:
                slot.child = self._start(slot)
        for child in [each for each in self._retiring if each.exit_code is not None]:
            self._retiring.remove(child)
            self._forget(child)

    def _restart(self, store: EmbeddedServer) -> None:
        """Start the store again; where that fails, the workers go on without it and the next round tries again."""
        try:
            store.start()
        except GatewayError as exc:
            log.error("the embedded store cannot be started: %s", exc)

    def _bury(self, slot: Slot, child: Child, *, crashed: bool) -> None:
        others = {id(self._control): "the control process", id(self._verifier): "the verifier"}
        name = others.get(id(slot), f"worker {slot.number}")
        log.error("%s (process %d) ended with %s and is replaced", name, child.pid, child.exit_code)
        slot.has_died = True
        slot.lost = tuple(bury(self._state.slabs, child.pid, crashed=crashed))
        for lost in slot.lost:
            log.error(
                "it was running %d requests of version %s of model %r", len(lost.prints), lost.version, lost.model
            )
        lived = time.monotonic() - child.started
        slot.not_before = time.monotonic() + (CRASH_LOOP_SECONDS if lived < CRASH_LOOP_SECONDS else 0.0)
        slot.child = None
        slot.accept_after = PATIENCE_SECONDS
        self._forget(child)

    def _let_rest(self) -> None:
        """Do without a verifier that ended because nobody asked; what was asked as it ended waits in the socket."""
        slot = self._verifier
        if slot is not None and slot.child is not None and slot.child.exit_code == 0:
            self._forget(slot.child)
            slot.child, slot.rests = None, True

    def _forget(self, child: Child) -> None:
        child.end(within_seconds=0.0)
        forget(self._state.reports, [child.pid])

    def _start(self, slot: Slot) -> Child:
        state = self._state
        store = self._store_url
        start = Start(
            self._settings, slot.number, slot.entrance, state.reports, state.slabs, store, slot.accept_after,
            lost=slot.lost, follows_a_death=slot.has_died, rpc=slot.rpc, asked=self._asked, mark=self._mark,
            tls=self._tls,
        )  # fmt: skip
        slot.has_died, slot.lost = False, ()
        if slot is self._verifier:
            return Child("gateway-verify", verifier.main, start)
        if slot is self._control:
            return Child("gateway-control", control.main, start)
        return Child("gateway-worker", worker.main, start)

    def _roll(self, wakeup: int) -> None:
        """Replace the workers one by one: the new one is ready before the old one is told to go."""
        log.info("rolling the workers one by one")
        for slot in self._slots:
            if not self._succeed(slot, wakeup):
                return
        log.info("all workers are replaced")

    def _lighten(self, wakeup: int) -> None:
        """Replace a worker that has grown too large, if there is one."""
        ready = {slot.child.pid: slot for slot in self._slots if slot.child is not None and slot.child.is_ready()}
        pid = self._scales.too_heavy(ready, time.monotonic())
        if pid is not None and not self._succeed(ready[pid], wakeup):
            self._scales.rest(time.monotonic())

    def _succeed(self, slot: Slot, wakeup: int) -> bool:
        """Start the successor of a worker and, once it is ready, tell the old one to go; say whether that was so."""
        slot.accept_after = FINISH_SECONDS  # the old one answers meanwhile
        old, new = slot.child, self._start(slot)
        deadline = time.monotonic() + FINISH_SECONDS
        while not new.is_ready() and new.exit_code is None and time.monotonic() < deadline and not self._must_stop():
            self._wait(wakeup, TICK_SECONDS)
        if not new.is_ready():
            log.error("worker %d's replacement did not become ready; the old one stays", slot.number)
            new.tell(signal.SIGTERM)
            self._retiring.append(new)
            return False
        slot.child = new
        if old is not None:
            old.tell(signal.SIGUSR2)
            self._retiring.append(old)
        return True

    def _read_certificates(self) -> bool:
        """Read the certificates again, for what is started from now on, and say whether that went well."""
        try:
            self._tls = read_contexts(self._settings)
        except InvalidSettings as exc:
            log.error("%s; the certificates read before stay in force", exc)
            return False
        return True

    def _renew_control(self) -> None:
        """Replace the control process; both take connections until the old one has ended."""
        slot = self._control
        if slot is not None and slot.child is not None:
            slot.child.tell(signal.SIGTERM)
            self._retiring.append(slot.child)
            slot.child = self._start(slot)

    # ---- stopping

    def _must_stop(self) -> bool:
        """Say whether a signal that waits to be taken ends the gateway."""
        return any(number is not signal.SIGHUP for number in self._signals)

    def _stop(self, wakeup: int) -> None:
        """Be not ready for the drain delay while every request is still answered, then stop."""
        if self._settings.drain_delay:
            self._wait_until(wakeup, time.monotonic() + BEAT_SECONDS)
        if self._is_idle():
            log.info("stopping")
        else:
            log.info("draining for %g s, then stopping; a second signal stops at once", self._settings.drain_delay)
            for slot in self._slots:
                if slot.child is not None:
                    slot.child.tell(signal.SIGUSR1)
            self._wait_until(wakeup, time.monotonic() + self._settings.drain_delay)

    def _wait_until(self, wakeup: int, until: float) -> None:
        """Wait until *until*, on the monotonic clock, or for a second signal."""
        while (left := until - time.monotonic()) > 0 and not self._taken():
            self._wait(wakeup, left)

    def _is_idle(self) -> bool:
        recently = time.monotonic() - max(self._settings.drain_delay, 1.0)
        beats = SlabDirectory(self._state.slabs).gauges()
        return all(not beat.in_flight and beat.last_request_at < recently for beat in beats)

    def _end_everything(self) -> None:
        """End all children, workers first: what they counted must still be scraped while they finish."""
        workers = [slot.child for slot in self._slots if slot.child is not None] + self._retiring
        for slot in self._slots:
            for entrance in slot.entrances():
                entrance.close()
        self._end(workers)
        if self._control is not None:
            self._control.entrance.close()
        self._end(
            [slot.child for slot in (self._control, self._verifier) if slot is not None and slot.child is not None]
        )

    def _end(self, children: list[Child]) -> None:
        for child in children:
            child.tell(signal.SIGTERM)
        deadline = time.monotonic() + FINISH_SECONDS
        for child in children:
            child.end(within_seconds=deadline - time.monotonic())

    # ---- waiting

    def _all_slots(self) -> Iterator[Slot]:
        if self._verifier is not None:
            yield self._verifier  # first: the others wait for it
        yield from self._slots
        if self._control is not None:
            yield self._control

    def _addresses(self) -> tuple[str, str]:
        assert self._control is not None
        inference = _address(self._slots[0].entrance.sock, is_secured=self._tls.inference is not None)
        return inference, _address(self._control.entrance.sock, is_secured=self._tls.admin is not None)

    def _wait(self, wakeup: int, at_most_seconds: float) -> None:
        """Sleep until a child says something or ends, a signal arrives, or the time is over.

        Whoever rests is started when it is asked, at any time: a worker that is not ready yet waits for its answer. And
        what connects to a worker that stands still is handed to another.
        """
        self._let_rest()
        starting = [slot.child for slot in self._all_slots() if slot.child and not slot.child.is_ready()]
        pipes = [child.read_end for child in starting if child.read_end is not None]
        resting = {slot.entrance.sock.fileno(): slot for slot in self._all_slots() if slot.rests}
        left = [sock.fileno() for sock in self._relief.sockets()]
        heard = select.select([wakeup, *pipes, *resting, *left], [], [], at_most_seconds)[0]
        self._relief.hand_on()
        for asked in resting.keys() & heard:
            resting[asked].child, resting[asked].rests = self._start(resting[asked]), False
        with contextlib.suppress(BlockingIOError):
            os.read(wakeup, 4096)

    def _taken(self) -> list[signal.Signals]:
        taken, self._signals = self._signals, []
        return taken

    @contextlib.contextmanager
    def _signals_as_events(self) -> Iterator[int]:
        """Note SIGTERM, SIGINT and SIGHUP, and make every signal (a child's end too) readable on a descriptor."""
        read_end, write_end = os.pipe()
        for end in (read_end, write_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda got, _frame: self._signals.append(signal.Signals(got)))
        signal.signal(signal.SIGCHLD, lambda _got, _frame: None)
        try:
            yield read_end
        finally:
            signal.set_wakeup_fd(-1)
            sys.stdout.flush()


def _address(sock: socket.socket, *, is_secured: bool) -> str:
    host, port = sock.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - this does not bind: it says where a bound socket can be reached
        host = "127.0.0.1"
    scheme = "https" if is_secured else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
