"""The processes of a gateway: what is missing is started, what died or hangs is buried, what is left is ended.

Only the launcher's one thread touches it. When a process is replaced by another without need, ``replacing.py`` knows.
"""

from __future__ import annotations

import logging
import secrets
import select
import signal
import time
from typing import TYPE_CHECKING, Final

from gateway.core.errors import GatewayError
from gateway.processes import control, verifier, worker
from gateway.processes.children import Child
from gateway.processes.relief import Relief
from gateway.processes.reports import forget
from gateway.processes.slots import Slot
from gateway.processes.sockets import Entrance, open_sockets, shared
from gateway.processes.start import NO_TLS, Start
from gateway.telemetry.crashes import bury
from gateway.telemetry.slab import SlabDirectory
from gateway.verification.asking import pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from gateway.processes.signals import Signals
    from gateway.processes.state import StateDirectory
    from gateway.settings import Settings
    from gateway.store.embedded import EmbeddedServer

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.25
"""How long the launcher sleeps at most before it looks at everything again."""

FINISH_SECONDS: Final = 35.0
"""How long a child may take from SIGTERM to its end: the 30 s for what is in flight, and a little to say goodbye."""

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


class Tree:
    """The workers, the control process and the verifier of one gateway, and the store where it is embedded."""

    def __init__(self, settings: Settings, store: EmbeddedServer | None, state: StateDirectory) -> None:
        self._settings = settings
        self._store = store
        self._state = state
        self.slots: list[Slot] = []
        """The workers'."""
        self.control: Slot | None = None
        self.verifier: Slot | None = None
        self._asked: socket.socket | None = None
        """Where the workers ask the verifier."""
        self.retiring: list[Child] = []
        """Who was told to go, and is waited for by nobody."""
        self._relief = Relief()
        self.store_url = ""
        self.tls = NO_TLS
        """What the ports of a process that starts now speak TLS with."""
        self._mark = secrets.token_hex(4)

    def open_ports(self) -> Entrance:
        """Open all ports and make the slots of the workers and the verifier; return the control process's entrance.

        Raises InvalidSettings where a port cannot be had.
        """
        settings = self._settings
        sockets = open_sockets(settings.host, settings.port, settings.workers, "--port")
        [admin] = open_sockets(settings.admin_host, settings.admin_port, 1, "--admin-port")
        rpc: list[Entrance] | list[None] = [None] * len(sockets)
        if settings.grpc_port:
            rpc = shared(open_sockets(settings.host, settings.grpc_port, settings.workers, "--grpc-port"))
        entrances = zip(shared(sockets), rpc, strict=True)
        self.slots = [Slot(number, *both) for number, both in enumerate(entrances)]
        self._asked, hears = pair()
        self.verifier = Slot(0, Entrance(hears))
        return Entrance(admin)

    def all_slots(self) -> Iterator[Slot]:
        """Yield the slots there are, in the order in which their processes start."""
        if self.verifier is not None:
            yield self.verifier  # first: the others wait for it
        yield from self.slots
        if self.control is not None:
            yield self.control

    def keep_up(self) -> None:
        """Start what is missing: at the beginning everything, later what died or hangs."""
        self._let_rest()
        if self._store is not None and not self._store.is_running():
            log.error("the embedded store ended; it is started again, requests are answered meanwhile")
            self._restart(self._store)
        now, beats = time.monotonic(), SlabDirectory(self._state.slabs).gauges()
        self._relief.look(self.slots, beats, now)
        wedged = frozenset(int(beat.pid) for beat in beats if now - beat.heartbeat > WEDGED_SECONDS)
        for slot in self.all_slots():
            child = slot.child
            if child is not None and child.pid in wedged:
                log.error(
                    "worker %d (process %d) has hung for %s s and is killed", slot.number, child.pid, WEDGED_SECONDS
                )
                child.tell(signal.SIGKILL)
                child.end(within_seconds=1.0)
            if child is not None and child.exit_code is not None:
                self._bury(slot, child, crashed=child.pid in wedged or child.exit_code in CRASHES)
        for slot in self.all_slots():  # after all are buried: who starts knows what ended the others
            if slot.child is None and not slot.rests and time.monotonic() >= slot.not_before:
                slot.child = self.start(slot)
        for child in [each for each in self.retiring if each.exit_code is not None]:
            self.retiring.remove(child)
            self._forget(child)

    def _restart(self, store: EmbeddedServer) -> None:
        """Start the store again; where that fails, the workers go on without it and the next round tries again."""
        try:
            store.start()
        except GatewayError as exc:
            log.error("the embedded store cannot be started: %s", exc)

    def _bury(self, slot: Slot, child: Child, *, crashed: bool) -> None:
        others = {id(self.control): "the control process", id(self.verifier): "the verifier"}
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
        slot = self.verifier
        if slot is not None and slot.child is not None and slot.child.exit_code == 0:
            self._forget(slot.child)
            slot.child, slot.rests = None, True

    def _forget(self, child: Child) -> None:
        child.end(within_seconds=0.0)
        forget(self._state.reports, [child.pid])

    def start(self, slot: Slot) -> Child:
        """Start the next process of a slot and return it; the caller says when it takes the place."""
        state = self._state
        store = self.store_url
        start = Start(
            self._settings, slot.number, slot.entrance, state.reports, state.slabs, store, slot.accept_after,
            lost=slot.lost, follows_a_death=slot.has_died, rpc=slot.rpc, asked=self._asked, mark=self._mark,
            tls=self.tls,
        )  # fmt: skip
        slot.has_died, slot.lost = False, ()
        if slot is self.verifier:
            return Child("gateway-verify", verifier.main, start)
        if slot is self.control:
            return Child("gateway-control", control.main, start)
        return Child("gateway-worker", worker.main, start)

    def wait(self, signals: Signals, at_most_seconds: float) -> None:
        """Sleep until a child says something or ends, a signal arrives, or the time is over.

        Whoever rests is started when it is asked, at any time: a worker that is not ready yet waits for its answer. And
        what connects to a worker that stands still is handed to another.
        """
        self._let_rest()
        starting = [slot.child for slot in self.all_slots() if slot.child and not slot.child.is_ready()]
        pipes = [child.read_end for child in starting if child.read_end is not None]
        resting = {slot.entrance.sock.fileno(): slot for slot in self.all_slots() if slot.rests}
        left = [sock.fileno() for sock in self._relief.sockets()]
        heard = select.select([signals.fileno(), *pipes, *resting, *left], [], [], at_most_seconds)[0]
        self._relief.hand_on()
        for asked in resting.keys() & heard:
            resting[asked].child, resting[asked].rests = self.start(resting[asked]), False
        signals.calm()

    def end_everything(self) -> None:
        """End all children, workers first: what they counted must still be scraped while they finish."""
        workers = [slot.child for slot in self.slots if slot.child is not None] + self.retiring
        for slot in self.slots:
            for entrance in slot.entrances():
                entrance.close()
        self._end(workers)
        if self.control is not None:
            self.control.entrance.close()
        self._end([slot.child for slot in (self.control, self.verifier) if slot is not None and slot.child is not None])

    def _end(self, children: list[Child]) -> None:
        for child in children:
            child.tell(signal.SIGTERM)
        deadline = time.monotonic() + FINISH_SECONDS
        for child in children:
            child.end(within_seconds=deadline - time.monotonic())
