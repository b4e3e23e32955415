"""``gateway rollouts status``: where a rollout stands, once or until it ends."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.client import Refused, connect
from gateway.cli.errors import CommandFailed
from gateway.cli.output import plain, print_json, print_table, say, weights
from gateway.cli.rollouts import live, phase

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.cli.client import Client

LOOK_AGAIN_SECONDS: Final = 1.0
SUCCEEDED: Final = "succeeded"


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code: with --watch 1 for a rollout that ended without success."""
    client = connect(args)
    if args.watch:
        return _watch(args, client)
    data = client.get(args.model, "rollouts", "current").data
    if args.json:
        print_json(data)
    else:
        _show(data)
    return 0


def _watch(args: argparse.Namespace, client: Client) -> int:
    """Print a line when phase, split or verdict changed, until the rollout ends.

    A gateway that does not answer for a while is waited for.
    """
    told: object = None
    while True:
        try:
            data = client.get(args.model, "rollouts", "current").data
        except CommandFailed as exc:
            if isinstance(exc, Refused) and exc.status < 500:
                raise
            if told != str(exc):
                told = str(exc)
                say(told)
        else:
            stands = (data["id"], phase(data), live(data), data["split"], data["verdict"]["kind"])
            if stands != told:
                told = stands
                print_json(data) if args.json else print(_line(data), flush=True)
            if data["is_over"]:
                return 0 if data["phase"] == SUCCEEDED else 1
        sleep(LOOK_AGAIN_SECONDS)


def _line(data: Mapping[str, Any]) -> str:
    requests, failed = (sum(data["counts"][each["version"]][kind] for each in data["candidates"])
                        for kind in ("n", "failed"))  # fmt: skip
    split, verdict = weights(data["split"]), data["verdict"]["kind"]
    said = f"  {plain(data['reason'])}" if data["is_over"] or data["origin"] else ""
    return f"{phase(data)}  {split}  {verdict}  {requests} requests, {failed} failed{said}"


def _show(data: Mapping[str, Any]) -> None:
    verdict, certificate = data["verdict"], data["verdict"]["certificate"]
    certified = (
        f"E {certificate['e_value']:.4g} of {certificate['needed']:g}, "
        f"{certificate['failed']} of {certificate['requests']} requests failed"
    )
    workers = data["workers"]
    rows: list[tuple[str, object]] = [
        ("model", data["model"]),
        ("candidate", f"version {live(data)}, against version {data['baseline']}"),
        *(("", f"version {each['version']} is out, {each['state'].replace('_', ' ')}: {each['reason']}")
          for each in data["candidates"] if len(data["candidates"]) > 1 and each["state"] != "live"),
        ("phase", phase(data)),
        ("because", data["reason"]),
        ("split", f"{weights(data['split'])} at revision {data['revision']}"),
        ("verdict", verdict["kind"]),
        *(("", f"{reason['guard']}: {reason['text']}") for reason in verdict["reasons"]),
        ("certificate", certified),
        ("time left", _seconds(data["seconds_left"])),
        ("decision in", _seconds(data["eta_seconds"])),
        ("workers", f"{workers['following']} of {workers['total']} follow"),
    ]  # fmt: skip
    optional = {"waits for": data["waits_for"], "sooner with": data["hint"], "kept loaded": _kept(data["kept"])}
    rows += [(name, plain(value)) for name, value in optional.items() if value]
    print_table(("WHAT", "VALUE"), rows)
    print()
    _show_guards(data["verdicts"])
    print()
    if data["alarms"]:
        alarms = [(each["name"], each["state"], each["then"], _seconds(each["age_seconds"]), plain(each["text"]))
                  for each in data["alarms"]]  # fmt: skip
        print_table(("ALARM", "STATE", "THEN", "ANSWERED", "IN WORDS"), alarms)
        print()
    kinds = list(next(iter(data["counts"].values())))
    rows_of_counts = [(version, *counts.values()) for version, counts in data["counts"].items()]
    print_table(("VERSION", *(kind.upper() for kind in kinds)), rows_of_counts)
    _show_latency(data["latency"])


def _show_latency(latency: Mapping[str, Any]) -> None:
    """Print the limits per class of rows and the slow runs per version, once the baseline has run."""
    if not latency["limits"]:
        return
    print()
    rows = [
        (each["rows"], f"{each['baseline_runs']} of {each['runs_needed']}", *_milliseconds(each))
        for each in latency["limits"]
    ]
    print_table(("ROWS OF A RUN", "BASELINE RUNS", "50 %", "90 %", "99 %", "FAILS PAST"), rows)
    print()
    slow = [(version, *counts.values()) for version, counts in latency["slow_runs"].items()]
    print_table(("VERSION", "SLOW PAST 50 %", "PAST 90 %", "PAST 99 %"), slow)


def _milliseconds(limits: Mapping[str, Any]) -> list[str]:
    """Return the frozen limits of one class of rows, or that there are none yet."""
    if limits["seconds"] is None:
        return ["-"] * 4
    return [f"{seconds * 1000:.3g} ms" for seconds in (*limits["seconds"], limits["most_seconds"])]


def _kept(kept: Mapping[str, Any] | None) -> str:
    """Return which version stays loaded to be gone back to, and for how long."""
    return f"version {kept['version']} for {kept['seconds_left'] / 3600:.1f} h" if kept else ""


def _show_guards(verdicts: Mapping[str, Any]) -> None:
    """Print what each guard says; of several candidates a table for each, with its verdict and certificate."""
    for version, verdict in verdicts.items():
        if len(verdicts) > 1:
            certificate = verdict["certificate"]
            e_value = f"E {certificate['e_value']:.4g} of {certificate['needed']:g}"
            print(f"version {version}: {verdict['kind']}, certificate {e_value}")
        guards = [(guard, f"{value:.4g}", f"{verdict['thresholds'][guard]:.4g}")
                  for guard, value in verdict["e_values"].items()]  # fmt: skip
        print_table(("GUARD", "E-VALUE", "ROLLS BACK AT"), guards)


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.0f} s"
