"""An experiment's report as tables and sentences, from the admin API's answer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Answer = Mapping[str, Any]
    Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def rate_table(answer: Answer) -> Table:
    """Return a line per metric and version: its rate, and how many rows or rewards said so."""
    titles = ("METRIC", "VERSION", "TRIALS", "RATE", "INTERVAL", "COVERAGE", "MEAN DELAY")
    rows = [
        (
            metric,
            side["version"],
            f"{trials:.0f}",
            f"{rate['value']:.4f}",
            interval(rate),
            _share(side["coverage"]),
            duration(side["mean_delay_seconds"]),
        )
        for metric, found in answer["metrics"].items()
        for side, trials, rate in zip(answer["versions"], found["trials"], found["rates"], strict=True)
    ]
    return titles, rows


def result_table(answer: Answer) -> Table:
    """Return a line per metric: how far the second version is from the first one, and what is still to wait for."""
    first, second = (side["version"] for side in answer["versions"])
    titles = ("METRIC", f"{second} LESS {first}", "INTERVAL", f"{second} OVER {first}", "INTERVAL",
              f"CHANCE {second} IS HIGHER", f"MORE TRIALS TO SEE {answer['apart']:g}", "ABOUT")  # fmt: skip
    rows = []
    for metric, found in answer["metrics"].items():
        apart, ratio, more = found["difference"], found["ratio"], found["trials_to_see"]
        rows.append((
            metric,
            f"{apart['value']:+.4f}{'*' if found['is_seen'] else ''}",
            interval(apart, sign="+"),
            "-" if ratio["value"] is None else f"{ratio['value']:.4f}",
            interval(ratio),
            _share(found["chance_second_higher"]),
            "-" if more is None else str(more),
            duration(found["seconds_to_see"]),
        ))  # fmt: skip
    return titles, rows


def remarks(answer: Answer) -> Iterator[str]:
    """Yield what has to be known to read the tables."""
    model, rule = answer["model"], answer["rule"]
    first, second = (side["version"] for side in answer["versions"])
    if not answer["metrics"]:
        there = ", ".join(answer["rules"]) or "none yet"
        yield (
            f"no class or reward from 0 to 1 is known of both versions {first} and {second} by {rule!r} (labels came "
            f"by: {there}); POST /v2/models/{model}/feedback takes them"
        )
    else:
        yield (
            f"each interval is wrong ever with at most {answer['alpha']:.4g} of chance, however often you look; a star "
            f"marks a difference without zero; the chance is a posterior with the prior {answer['prior']}"
        )
    if answer["optimize"] is not None:
        yield optimized(answer["optimize"])
    if rule != "split":
        yield f"{rule!r} did not assign by chance unless its own split did: other requests may explain a difference"
    fair = answer["assignment"]
    if fair is not None and fair["is_mismatch"]:
        yield (
            f"the answers of both versions are not in the proportion of the split, E {fair['e_value']:.4g}: one of "
            "them fails or loses requests, and what is compared is not of one kind; look for that first"
        )
    elif rule == "split" and fair is None:
        yield "the proportion of the split is not checked: no revision assigned single requests to both versions"


def optimized(found: Mapping[str, Any]) -> str:
    """Return how the weights follow the labels, and what happens next, in one line."""
    shares = ", ".join(
        f"{each['version']} {100 * each['share']:.4g} %"
        + ("" if each["chance_best"] is None else f" (best with {each['chance_best']:.3f})")
        for each in found["versions"]
    )
    following = "they move with the next look" if found["moves"] else "they stay for now"
    return f"weights follow {found['by']} every {found['every']}: {shares}; {following}: {found['reason']}"


def interval(found: Mapping[str, float | None], sign: str = "") -> str:
    """Return an interval as text; an end that nothing bounds is ∞."""
    low, high = found["low"], found["high"]
    return " to ".join("∞" if each is None else f"{each:{sign}.4f}" for each in (low, high))


def duration(seconds: float | None) -> str:
    """Return a time as a person says it, in the largest unit of which there is one."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
