"""YAML with one reading: keys are text as written, no key twice, no anchors, no tags, no dates.

What comes out are the types of JSON, so that whatever was read can be answered as JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Hashable


def load(content: bytes) -> Any:
    """Return what *content* holds; None where it is empty. Raises ValueError with a line for people."""
    try:
        return yaml.load(content.decode(), _Loader)  # noqa: S506 - _Loader is a SafeLoader that refuses more
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise ValueError(f"{exc.problem or exc.context}{f' in line {mark.line + 1}' if mark else ''}") from exc
    except yaml.YAMLError as exc:
        raise ValueError(str(exc).partition("\n")[0]) from exc


def _refusal(problem: str, mark: yaml.error.Mark | None) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """A SafeLoader without what two readers could take for two things."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it bare
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _refusal("an anchor or alias is not allowed", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _refusal(f"the tag {event.tag!r} is not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: ARG002 - the base's
        """Return the mapping with its keys as they are written: ``1:`` and ``no:`` are "1" and "no"."""
        members: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key must be text", key.start_mark)
            if key.value in members:
                raise _refusal(f"{key.value!r} is written twice", key.start_mark)
            members[key.value] = self.construct_object(value, deep=True)
        return members


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
