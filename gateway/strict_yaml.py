"""YAML that says one thing: no key twice, no tags, no aliases, no dates, no numbers but plain ones.

PyYAML keeps the last of two equal keys in silence, and reads 010 as eight and 1:30 as ninety; in a route
such a reading would move users. Keys are text as written (``1:`` is "1", ``no:`` is "no"); what comes out are
the types of JSON, so that whatever was read can be answered as JSON.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Hashable

DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})", re.ASCII)


def read_documents(content: bytes) -> list[Any]:
    """Return the documents in *content*, without empty ones. Raises ValueError with the line and column."""
    try:
        text = content.decode()
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply; write it flatter") from None
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{exc.problem or exc.context}") from exc
    except yaml.YAMLError as exc:
        raise ValueError(str(exc).partition("\n")[0]) from exc


def read_document(content: bytes) -> Any:
    """Return the only document in *content*, None where it is empty. Raises ValueError."""
    documents = read_documents(content)
    if len(documents) > 1:
        raise ValueError("it holds several documents; write one")
    return documents[0] if documents else None


def _refusal(problem: str, mark: yaml.error.Mark | None) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """A SafeLoader without what two readers could take for two things."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it bare
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _refusal("anchors and aliases are not read; write it out", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _refusal(f"the tag {event.tag!r} is not read; leave it out", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: ARG002 - the base's
        """Return the mapping with its keys as they are written: ``1:`` and ``no:`` are "1" and "no"."""
        members: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key must be plain text or a number", key.start_mark)
            if key.value in members:
                raise _refusal(f"{key.value!r} is written twice; write it once", key.start_mark)
            members[key.value] = self.construct_object(value, deep=True)
        return members

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        if DECIMAL.fullmatch(node.value) is None:
            problem = f"{node.value[:64]!r} is not a plain decimal number; write it as one, or in quotes"
            raise _refusal(problem, node.start_mark)
        return int(node.value)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_decimal)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
