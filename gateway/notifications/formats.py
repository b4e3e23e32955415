"""A notification as its receiver reads it: plain JSON, a message for Slack, a card for Teams. Pure.

What people wrote, a reason or a name, is shown as they wrote it and can neither mention anybody nor make a link.

Sources: Block Kit, https://docs.slack.dev/block-kit; Adaptive Cards 1.4, https://adaptivecards.io, in a message as the
workflows of Teams take it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gateway.core.notification import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.notification import Notification

HEADER_CHARACTERS: Final = 150
"""The most that Slack takes in a header."""
FACT_CHARACTERS: Final = 400
"""The most of one fact in a chat: with every character escaped they still fit the 3,000 of Slack's section."""

TITLES: Final[Mapping[Kind, str]] = {
    Kind.STARTED: "the rollout of version {version} started",
    Kind.ADVANCED: "version {version} went on to {goal}",
    Kind.HELD: "the rollout of version {version} is held",
    Kind.PAUSED: "the rollout of version {version} is paused",
    Kind.RESUMED: "the rollout of version {version} goes on in {goal}",
    Kind.ROLLED_BACK: "version {version} was rolled back",
    Kind.SUCCEEDED: "version {version} succeeded and is the baseline",
    Kind.ABORTED: "the rollout of version {version} was aborted",
    Kind.CHANGED: "the route was changed",
    Kind.QUARANTINED: "version {version} is quarantined",
    Kind.ALERT: "one worker alone finds version {version} bad",
    Kind.DRIFTED: "version {version} is asked or answers otherwise than it used to",
    Kind.UNUSUAL: "version {version} is out of its ordinary",
}


NO_LINKS: Final[Mapping[str, str]] = {}


def body_of(kind: str, notification: Notification, name: str, at_ms: int, links: Mapping[str, str] = NO_LINKS) -> bytes:
    """Return the body for a target of format *kind*. name: the notification's id; at_ms: since the epoch.

    links: what its reader may do (``core.links.Act``) → the address of a page that asks once more.
    """
    make = {"generic": _generic, "slack": _slack, "teams": _teams}[kind]
    return json.dumps(make(notification, name, at_ms, links), separators=(",", ":")).encode()


def title_of(notification: Notification) -> str:
    """Return what happened, in one line."""
    rollout = notification.rollout or {}
    step = f"step {rollout.get('step')} of {rollout.get('steps')}"
    goal = step if rollout.get("step") else str(rollout.get("phase", ""))
    title = TITLES[notification.kind].format(version=notification.version or _candidates(rollout), goal=goal)
    return f"{notification.model}: {title}"


def _candidates(rollout: Mapping[str, Any]) -> str:
    """Return those that are in *rollout*, which a store may have changed."""
    listed = rollout.get("candidates")
    return ", ".join(map(str, listed)) if isinstance(listed, list) else ""


def _generic(notification: Notification, name: str, at_ms: int, links: Mapping[str, str]) -> dict[str, Any]:
    data = notification.as_dict()
    kind = data.pop("type")
    data = {"title": title_of(notification), **data} | ({"links": dict(links)} if links else {})
    return {"type": kind, "timestamp": _time(at_ms), "id": name, "data": data}


def _slack(notification: Notification, _name: str, at_ms: int, links: Mapping[str, str]) -> dict[str, Any]:
    title = title_of(notification)
    lines = [f"*{_escaped(label)}:* {_escaped(text)}" for label, text in _facts(notification, at_ms)]
    if links:
        lines.append("  ".join(f"<{_escaped(address)}|{_label(act)} …>" for act, address in links.items()))
    return {
        "text": _escaped(title),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": title[:HEADER_CHARACTERS], "emoji": False}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines), "verbatim": True}},
        ],
    }


def _teams(notification: Notification, _name: str, at_ms: int, links: Mapping[str, str]) -> dict[str, Any]:
    runs = [[_run(title_of(notification), size="large", weight="bolder")]]
    runs += [[_run(f"{label}: ", weight="bolder"), _run(text)] for label, text in _facts(notification, at_ms)]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "RichTextBlock", "inlines": inlines} for inlines in runs],
    }
    if links:
        card["actions"] = [
            {"type": "Action.OpenUrl", "title": f"{_label(act)} …", "url": address} for act, address in links.items()
        ]
    content_type = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": content_type, "contentUrl": None, "content": card}]}


def _label(act: str) -> str:
    return act.replace("_", " ").capitalize()


def _run(text: str, **look: str) -> dict[str, str]:
    """Return text of a card that is shown as it is: unlike a TextBlock's it is no Markdown."""
    return {"type": "TextRun", "text": text, **look}


def _facts(notification: Notification, at_ms: int) -> list[tuple[str, str]]:
    before, after = (_split(each) for each in (notification.before, notification.after))
    facts = [("Reason", " ".join(notification.reason.split())), ("By", notification.actor)]
    if after:
        facts.append(("Weights", after if before == after else f"{before or 'none'} → {after}"))
    return [*((label, _clipped(text)) for label, text in facts if text), ("At", _time(at_ms))]


def _clipped(text: str) -> str:
    return text if len(text) <= FACT_CHARACTERS else text[: FACT_CHARACTERS - 1] + "…"


def _split(weights: Mapping[int, int]) -> str:
    return " ".join(f"{version}={weight}" for version, weight in weights.items())


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _escaped(text: str) -> str:
    """Return *text* as Slack shows it: without these three nothing is a link, a mention or a command.

    A backtick, an asterisk or an underscore may still change how a word looks.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
