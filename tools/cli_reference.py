"""Write the reference of the command line, docs/cli.md, from the parser.

python -m tools.cli_reference
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.cli.commands import PROGRAM, all_commands
from gateway.cli.main import NOUNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.cli.commands import Argument, Command

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "cli.md"

COMMON: Final = next(command for command in all_commands() if command.name == "models list").arguments
"""The flags of every command that speaks to a gateway: the whole of one that has no others."""

HEAD: Final = """# Command line

Made from the parser by `python -m tools.cli_reference`; a test compares the two. `gateway COMMAND --help` says the
same. Answers go to stdout, everything else to stderr.

| exit code | means |
|---|---|
| 0 | done; nothing differs |
| 1 | refused or failed; `routes diff` found a difference, `models check` an incompatibility, `doctor` a failure |
| 2 | wrong usage, or settings that cannot be used |
| 3 | `routes diff` could compare nothing: a file is broken, or no gateway answers |
| 130, 143 | ended by Ctrl-C, by SIGTERM |

Flags are never abbreviated. The first of these names the gateway that is spoken to: `--url`, `--context`,
`GATEWAY_URL`, `GATEWAY_CONTEXT`, the context in use, this machine. The token is that of `--token-file`,
`GATEWAY_TOKEN`, or the token file of the context; it is never an argument, and a context's token is sent to its own
address only.

## Several gateways

```console
$ gateway context add prod --url https://gateway.example.com:9090 --token-file ~/.prod-token
$ gateway context add test --url http://127.0.0.1:9090
$ gateway context use test
$ gateway models list --context prod
```

Contexts lie in `$XDG_CONFIG_HOME/canary-gateway/contexts.json` (or `~/.config/…`), readable by you alone. A file that
others can write is refused.

## Routes in git

```console
$ gateway routes lint routing_configs --models models
$ gateway routes diff -f routing_configs --prune
$ gateway routes apply -f routing_configs --prune --dry-run
$ gateway routes apply -f routing_configs --prune --yes --reason "release 42"
```

`lint` needs no gateway; the repository's `.pre-commit-hooks.yaml` runs it before a commit. `diff` shows how the store
has drifted from the files, in words and as a diff, and who wrote last. A model always has a route, so `--prune` deletes
none: where no file of the directory routes a model, all its traffic goes to its baseline, and its rules, shadows,
aliases and plan go.

## Shells

```console
$ gateway completion bash > ~/.local/share/bash-completion/completions/gateway
```

"""


def page() -> str:
    """Return the whole page."""
    sections = ["\n".join(_section(noun)) for noun in NOUNS]
    common = "\n".join(
        ["## Common flags", "", "Of every command that speaks to a gateway.", "", *_table(COMMON), "", ""]
    )
    return HEAD + common + "\n".join(sections)


def _section(noun: str) -> Iterator[str]:
    commands = [command for command in all_commands() if command.words[0] == noun]
    yield from (f"## gateway {noun}", "", f"{_sentence(NOUNS[noun][1])}", "")
    for command in commands:
        yield from _command(command)


def _command(command: Command) -> Iterator[str]:
    if len(command.words) > 1:
        yield from (f"### gateway {command.name}", "", _sentence(command.summary), "")
    if command.description and command.description.rstrip(".").lower() != command.summary.rstrip(".").lower():
        yield from (_escaped(command.description), "")
    yield from ("```console", *(f"$ {line}" for line in command.examples()), "```", "")
    if command.name == "serve":
        yield from ("Its flags are the [settings](configuration.md).", "")
        return
    own = [each for each in command.arguments if each not in COMMON]
    if own:
        yield from (*_table(own), "")
    if set(COMMON) <= set(command.arguments):
        yield from ("And the [common flags](#common-flags).", "")


def _table(arguments: Iterable[Argument]) -> Iterator[str]:
    yield from ("| argument | meaning |", "|---|---|")
    yield from (f"| `{_names(each)}` | {_escaped(each.help)} |" for each in arguments)


def _names(argument: Argument) -> str:
    """Return how an argument is written: ``-f, --file FILE|DIR``, or what stands at its place."""
    value = f" {argument.metavar}" if argument.takes_value else ""
    text = ", ".join(argument.names) + value if argument.names else argument.metavar
    return (text + ("…" if argument.repeats else "")).replace("|", "\\|")


def _sentence(text: str) -> str:
    return _escaped(text[:1].upper() + text[1:] + ("" if text.endswith(".") else "."))


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote the reference of {PROGRAM}: {PAGE}")


if __name__ == "__main__":
    main()
