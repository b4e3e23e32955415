"""``gateway demo learning``: the loop closes, and what should not get through does not."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain, weights

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from gateway.cli.demo_acts import Act
    from gateway.cli.demo_stage import Look, Moment, Stage

NEEDS: Final = ("sklearn", "skl2onnx", "skops", "pandas")
DELAY_SECONDS: Final = 0.5
"""How long a label takes."""
ROW_SECONDS: Final = 2.0
"""How often the table grows."""
COLUMNS: Final = "{:>7}  {:>7}  {:>8}  {:<14}  {:<13}  {:>7}  {}"
TITLES: Final = ("SECONDS", "ANSWERS", "ACCURACY", "SHARES", "ROLLOUT", "DRIFT", "LEARNER")
LEARNER_CHARACTERS: Final = 70


def play(args: argparse.Namespace) -> int:
    """Play the acts; 0 when all came out as promised, 1 when not. Raises CommandMisused, CommandFailed."""
    from gateway.cli.demo_acts import ACTS
    from gateway.cli.demo_world import MODEL

    models = Path(args.models)
    if not (models / MODEL / "1").is_dir():
        raise CommandMisused(f"{args.models!r} holds no {MODEL}/1; name the shipped models with --models")
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise CommandFailed(
            f"the learner needs {', '.join(missing)}; install them with `pip install 'canary-gateway[convert]'`"
        )
    acts = [args.only] if args.only else list(ACTS)
    try:
        told = asyncio.run(_play(models, acts, args))
    except RuntimeError as exc:
        raise CommandFailed(str(exc)) from exc
    print(json.dumps(told, indent=2) if args.json else "\n" + ending(told))
    return 0 if told["came_out"] else 1


async def _play(models: Path, acts: Sequence[str], args: argparse.Namespace) -> dict[str, Any]:
    from gateway.cli.demo_acts import played
    from gateway.cli.demo_drawing import draw
    from gateway.cli.demo_stage import staged
    from gateway.cli.demo_world import digits_world

    tell = Table() if not args.json else (lambda _seen: None)
    print("evaluating version 1, starting a gateway and a learner …", file=sys.stderr, flush=True)
    async with staged(
        models, digits_world(), rate=args.rate, delay=DELAY_SECONDS, step_seconds=args.step_seconds, tell=tell
    ) as stage:
        ended: list[Act] = []
        for name in acts:
            stage.note("act", name)
            ended.append(await played(stage, name))
            if ended[-1].why_not:
                break
        told = await result(stage, ended, len(acts))
        args.picture.write_text(draw(stage.traffic.answered, stage.looks, stage.moments), encoding="utf-8")
    return {**told, "picture": str(args.picture)}


async def result(stage: Stage, ended: Sequence[Act], acts: int) -> dict[str, Any]:
    """Return what is to be told; it came out when all *acts* were played and each did, and no request failed."""
    from gateway.cli.demo_world import MODEL

    model = f"/api/v1/models/{MODEL}"
    history, lineage, quality = [
        await asyncio.to_thread(stage.gateway.ask, f"{model}/{what}") for what in ("history", "lineage", "quality")
    ]
    came_out = len(ended) == acts and not any(act.why_not for act in ended) and not stage.traffic.failures
    return {
        "came_out": came_out,
        "seconds": round(stage.traffic.seconds, 1),
        "answers": len(stage.traffic.answered),
        "failures": stage.traffic.failures,
        "acts": [act.as_dict() for act in ended],
        "moments": [{"at": each.at, "kind": each.kind, "text": each.text} for each in stage.moments],
        "labels": {each["version"]: each["windows"]["all"]["labels"] for each in quality["versions"]},
        "lineage": lineage["parents"],
        "history": history,
    }


class Table:
    """The live table: a row every two seconds, and a line for each moment when it comes."""

    def __init__(self, say: Callable[[str], None] = lambda line: print(line, flush=True)) -> None:
        self._say = say
        self._shown = float("-inf")

    def __call__(self, seen: Look | Moment) -> None:
        from gateway.cli.demo_stage import Moment

        if isinstance(seen, Moment):
            if seen.kind == "act":
                self._say(f"\n{seen.text}\n{COLUMNS.format(*TITLES)}")
            else:
                self._say(f"{seen.at:7.1f}  > {seen.kind}: {plain(seen.text)}")
        elif seen.at - self._shown >= ROW_SECONDS:
            self._shown = seen.at
            self._say(row(seen))


def row(look: Look) -> str:
    """Return a look as a row of the table."""
    accuracy = "-" if look.accuracy is None else f"{look.accuracy:.0%}"
    rollout = f"{look.candidate} {look.phase}" if look.phase else "-"
    learner = plain(look.learner)
    if len(learner) > LEARNER_CHARACTERS:
        learner = learner[: LEARNER_CHARACTERS - 2] + " …"
    return COLUMNS.format(
        f"{look.at:.1f}", look.answers, accuracy, weights(look.split), rollout, len(look.drift) or "-", learner
    )


def ending(told: dict[str, Any]) -> str:
    """Return the last lines of the story."""
    lines = ["LINEAGE"]
    lines += [f"  {each['child']} {each['relation']} {each['parent']}" for each in told["lineage"]]
    lines += ["HISTORY, newest first"]
    lines += [
        f"  {each['revision']:>3}  {weights(each['after']['split']):<16}  {plain(each['reason'])}"
        for each in told["history"]
    ]
    lines += [
        f"{told['answers']} answers labelled in {told['seconds']:.0f} s; requests that failed: {told['failures']}"
    ]
    for act in told["acts"]:
        figures = ", ".join(f"{name} {value:.0%}" for name, value in act["accuracy"].items())
        lines.append(f"{act['name']}: {figures or 'nothing to tell'}{'; ' if act['why_not'] else ''}{act['why_not']}")
    lines.append(f"the picture: {told['picture']}")
    lines.append("It came out as promised." if told["came_out"] else "It did NOT come out as promised.")
    return "\n".join(lines)
