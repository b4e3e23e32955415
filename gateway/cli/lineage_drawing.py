"""Who comes from whom, drawn from the admin API's answer: as a tree, for Mermaid, for Graphviz. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Answer = Mapping[str, Any]


def tree(answer: Answer) -> str:
    """Return a tree per version that comes from no other, children below their parents.

    A version with two parents stands below both, and what comes from it below the first only. Of a ring, which only
    metadata that was edited by hand can close, each version is a beginning.
    """
    children: dict[str, list[tuple[str, str]]] = {}
    for each in answer["parents"]:
        children.setdefault(each["parent"], []).append((each["child"], each["relation"]))
    notes = {each["name"]: _notes(each) for each in answer["versions"]}
    drawn: set[str] = set()

    def below(name: str, indent: str) -> Iterator[str]:
        drawn.add(name)
        following = children.get(name, [])
        for index, (child, relation) in enumerate(following):
            is_last = index == len(following) - 1
            again = " (see above)" if child in drawn and children.get(child) else ""
            said = f" {relation}" if relation else ""
            yield f"{indent}{'└─' if is_last else '├─'} {child}{said}{notes[child]}{again}"
            if child not in drawn:
                yield from below(child, indent + ("   " if is_last else "│  "))

    made = {each["child"] for each in answer["parents"]}
    lines: list[str] = []
    for name in sorted(notes, key=lambda name: name in made):  # those that come from no other first, else as they are
        if name not in drawn:
            lines += [f"{name}{notes[name]}", *below(name, "")]
    return "\n".join(lines)


def mermaid(answer: Answer) -> str:
    """Return a flow chart for Mermaid, from parents to children."""
    ids = {each["name"]: f"v{number}" for number, each in enumerate(answer["versions"])}
    lines = ["flowchart TD"]
    lines += [f'    {ids[each["name"]]}["{each["name"]}{_notes(each)}"]' for each in answer["versions"]]
    for each in answer["parents"]:
        said = f"|{each['relation']}|" if each["relation"] else ""
        lines.append(f"    {ids[each['parent']]} -->{said} {ids[each['child']]}")
    return "\n".join(lines)


def dot(answer: Answer) -> str:
    """Return a graph for Graphviz, from parents to children."""
    lines = ["digraph lineage {"]
    lines += [f'    "{each["name"]}" [label="{each["name"]}{_notes(each)}"];' for each in answer["versions"]]
    for each in answer["parents"]:
        said = f' [label="{each["relation"]}"]' if each["relation"] else ""
        lines.append(f'    "{each["parent"]}" -> "{each["child"]}"{said};')
    return "\n".join([*lines, "}"])


FORMATS: Mapping[str, Callable[[Answer], str]] = {"tree": tree, "mermaid": mermaid, "dot": dot}


def _notes(version: Answer) -> str:
    """Return what is to be known of a version, behind its name; names the gateway checked, other text it did not."""
    gone = "" if version["there"] else " (not in the repository)"
    unread = ", ".join(plain(text).replace('"', "'") for text in version["unread"])
    return gone + (f" (also from: {unread})" if unread else "")
