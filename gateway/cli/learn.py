"""``gateway learn``: the learner that runs beside a gateway, and what operators say to it."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.client import add_flags, connect
from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain, print_json, print_table, say
from gateway.core.names import is_model_name
from gateway.settings import from_environment

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.learning.folder import Folder
    from gateway.learning.learner import Learner
    from gateway.ports.labels import LabelledStore
    from gateway.settings import Settings

VERBS: Final = ("run", "status", "pause", "resume", "reset")

DESCRIPTION: Final = """Learn from the labelled answers of MODEL as learner.yaml says, until it is stopped.

VERB is run (without one), or one of
  status  what it has learned, how it compares, what it decided last
  pause   learn nothing and publish nothing; labels wait in the stream
  resume  go on
  reset   forget what was learned, and begin again from the serving version; labels that were read stay read
Those four leave a word in the learner's directory, STATE_DIR/learning/MODEL, and are not asked of a gateway."""


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    parser = subparsers.add_parser(
        "learn",
        help="learn from labelled answers, and send out what proves better",
        description=DESCRIPTION,
        epilog="example: gateway learn breast-cancer --learner learner.yaml --models ./models",
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("verb", metavar="VERB", nargs="?", choices=VERBS, default="run", help="[run]")
    parser.add_argument("--learner", type=Path, metavar="FILE", help="what learns, when, and how it goes out")
    parser.add_argument("--models", metavar="DIR", help="the gateway's repository, on disk [./models]")
    parser.add_argument("--state-dir", metavar="DIR", help="the gateway's state directory [./.gateway]")
    parser.add_argument("--redis-url", metavar="URL", help="the gateway's store [the one embedded in it]")
    parser.add_argument("--dry-run", action="store_true", help="check everything, and learn nothing")
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code."""
    from gateway.learning.folder import PAUSED, RESET, Folder

    if not is_model_name(args.model):
        raise CommandMisused(f"{args.model!r} cannot name a model; `gateway models list` shows those that are there")
    flags = {name: value for name in ("models", "state_dir", "redis_url") if (value := getattr(args, name)) is not None}
    settings = from_environment(flags)
    folder = Folder(settings.state_dir / "learning" / args.model)
    if args.verb == "run":
        return _learn(args, settings, folder)
    if args.verb in {"pause", "reset"} and not args.dry_run:
        folder.order(PAUSED if args.verb == "pause" else RESET)
    if args.verb == "resume" and not args.dry_run:
        folder.withdraw(PAUSED)
    return _show(args, folder)


def _learn(args: argparse.Namespace, settings: Settings, folder: Folder) -> int:
    from gateway.learning.document import read_file
    from gateway.store.embedded import embedded_url
    from gateway.store.redis_store import RedisRouteStore

    if args.learner is None:
        raise CommandMisused("run needs --learner FILE, the document that says what learns; see docs/learning.md")
    document = read_file(args.learner)
    if document.model != args.model:
        raise CommandMisused(f"{args.learner} is for the model {document.model!r}, and not for {args.model!r}")
    if settings.models_url:
        raise CommandMisused("--models must be a directory: a version is made there, and pushed to an object store")
    url = settings.redis_url or embedded_url(settings.state_dir)
    if url is None:
        raise CommandFailed(
            f"no gateway with a store of its own runs on {settings.state_dir}; start it, name its --state-dir, "
            f"or name the store with --redis-url"
        )

    async def learn() -> int:
        store = RedisRouteStore(url)
        try:
            return await _run(args, settings, folder, store)
        finally:
            await store.close()

    with folder.taken():
        return asyncio.run(learn())


async def _run(args: argparse.Namespace, settings: Settings, folder: Folder, store: LabelledStore) -> int:
    """Build the learner, and let it learn until SIGTERM or SIGINT."""
    learner = _built(args, settings, folder, store)
    if args.dry_run:
        print(f"a learner of {args.model} would begin with {learner.state.head.rows} rows learned; nothing was written")
        return 0
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await learner.run(stop)
    return 0


def _built(args: argparse.Namespace, settings: Settings, folder: Folder, store: LabelledStore) -> Learner:
    from gateway.cli.learning_admin import ClientAdmin
    from gateway.learning.assembling import build

    return build(
        args.learner, settings.models, folder, store.labelled(args.model), ClientAdmin(connect(args), args.model),
        clock=time.time, tell=lambda status: _tell(args, status),
    )  # fmt: skip


def _tell(args: argparse.Namespace, status: Mapping[str, Any]) -> None:
    """Print what is new: a line of JSON for scripts, else a sentence."""
    if args.json:
        print(json.dumps(status), flush=True)
        return
    say(f"{args.model}: {_where(status)}; {plain(status['trouble'] or status['decision'])}")


def _where(status: Mapping[str, Any]) -> str:
    return "paused" if status["paused"] else "learning" if status["running"] else "stopped"


def _show(args: argparse.Namespace, folder: Folder) -> int:
    """Print what the learner last said of itself, and what it was asked."""
    from gateway.learning.folder import PAUSED, RESET

    status = folder.said()
    if status is None:
        raise CommandFailed(f"no learner has run with {folder.root}; start one with `gateway learn {args.model}`")
    status |= {"running": folder.is_taken(), "paused": folder.has(PAUSED), "reset_asked": folder.has(RESET)}
    if args.json:
        print_json(status)
        return 0
    compared = status["compared"]
    difference = "-" if compared["difference"] is None else (
        f"{compared['difference']:+.4f} [{compared['low']:+.4f}, {compared['high']:+.4f}] on {compared['rows']} rows"
    )  # fmt: skip
    rows = [
        ("state", _where(status)), ("serving", status["serving"]), ("rollout", status["rollout"]),
        ("rows learned", status["rows"]), ("rows held out", status["held_out"]),
        ("learner less serving", difference), ("waits", f"{status['wait_seconds']:g} s"),
        ("decision", plain(status["decision"])), ("trouble", plain(status["trouble"]) or "-"),
    ]  # fmt: skip
    print_table(("WHAT", "IS"), rows)
    return 0
