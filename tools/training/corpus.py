"""Sentences about programming, cut from the docstrings of the standard library.

    python -m tools.training.corpus          # rewrites docstrings.tsv beside this file

The docstrings differ between releases of Python, so what this module collected once is
committed, and training reads that file only. Run it again when the topics change.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import platform
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS: Final = Path(__file__).with_name("docstrings.tsv")

SAMPLES_PER_TOPIC: Final = 340
"""All topics are as large as the smallest one can be, so that accuracy needs no weighting."""

MOST_CHARACTERS: Final = 200
FEWEST_WORDS: Final = 8

TOPICS: Final = {
    "concurrency": """asyncio.base_events asyncio.events asyncio.futures asyncio.locks asyncio.protocols asyncio.queues
        asyncio.runners asyncio.streams asyncio.subprocess asyncio.taskgroups asyncio.tasks asyncio.timeouts
        asyncio.transports concurrent.futures concurrent.futures._base concurrent.futures.process
        concurrent.futures.thread contextvars multiprocessing multiprocessing.connection multiprocessing.context
        multiprocessing.managers multiprocessing.pool multiprocessing.shared_memory queue sched signal subprocess
        threading""",
    "files": """bz2 configparser csv dbm.dumb filecmp fileinput fnmatch glob gzip io linecache lzma mmap netrc ntpath os
        os.path pathlib posixpath shelve shutil stat tarfile tempfile zipfile zipimport""",
    "language": """abc ast bdb code codeop contextlib copy dataclasses dis enum functools importlib importlib.abc
        importlib.machinery importlib.metadata importlib.resources importlib.util inspect operator pdb pickle
        pickletools pkgutil pyclbr symtable tokenize traceback types typing""",
    "network": """ftplib http.client http.cookiejar http.cookies http.server imaplib ipaddress poplib selectors smtplib
        socket socketserver ssl urllib.parse urllib.request urllib.robotparser wsgiref.handlers wsgiref.headers
        wsgiref.simple_server wsgiref.util wsgiref.validate xmlrpc.client xmlrpc.server""",
    "numbers": """_pydecimal calendar cmath colorsys datetime decimal fractions math numbers random statistics""",
}

NOTICE: Final = """\
# Sentences from the docstrings of the Python {version} standard library, one topic per family of modules.
# Copyright (c) 2001-2023 Python Software Foundation; All Rights Reserved.
# Licence: Python Software Foundation License Version 2 (SPDX: PSF-2.0). Changes: cut, shortened, sampled.
# Made by tools/training/corpus.py. Two columns: topic, text.
"""


def paragraphs(member: object, module: str, seen: set[int]) -> Iterator[str]:
    """Yield the paragraphs of the docstrings of *member* and of what *module* defines inside it, each object once."""
    if id(member) in seen:
        return
    seen.add(id(member))
    document = getattr(member, "__doc__", None)
    if isinstance(document, str):
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(document)):
            yield " ".join(paragraph.split())
    if inspect.ismodule(member) or inspect.isclass(member):
        for name, child in list(vars(member).items()):
            plain = child.__func__ if isinstance(child, (staticmethod, classmethod)) else child
            if not name.startswith("__") and _belongs_to(plain, module):
                yield from paragraphs(plain, module, seen)


def _belongs_to(member: object, module: str) -> bool:
    if inspect.isfunction(member) or inspect.isclass(member):
        return member.__module__ == module
    return inspect.isroutine(member) or isinstance(member, property)


def is_prose(text: str) -> bool:
    """Say whether *text* reads like sentences rather than like a table, an example or a signature."""
    words = re.findall(r"[a-zA-Z]{2,}", text)
    letters = sum(map(len, words))
    return text.isascii() and ">>>" not in text and len(words) >= FEWEST_WORDS and letters > 0.6 * len(text)


def collect() -> dict[str, list[str]]:
    """Return, per topic, the same number of distinct texts; a text that two topics share belongs to neither.

    The choice is by hash, so it does not depend on the order of the modules nor on a generator.
    """
    topics_of: dict[str, set[str]] = {}
    for topic, modules in TOPICS.items():
        for name in modules.split():
            for text in paragraphs(importlib.import_module(name), name, set()):
                if is_prose(text):
                    topics_of.setdefault(text[:MOST_CHARACTERS], set()).add(topic)
    texts: dict[str, list[str]] = {topic: [] for topic in TOPICS}
    for text in sorted(topics_of, key=lambda text: hashlib.sha256(text.encode()).digest()):
        if len(topics_of[text]) == 1:
            texts[next(iter(topics_of[text]))].append(text)
    return {topic: found[:SAMPLES_PER_TOPIC] for topic, found in texts.items()}


def read() -> tuple[list[str], list[str]]:
    """Return the texts of the committed corpus and the topic of each."""
    lines = [line for line in CORPUS.read_text(encoding="ascii").splitlines() if not line.startswith("#")]
    rows = [line.split("\t") for line in lines]
    return [text for _, text in rows], [topic for topic, _ in rows]


def main() -> None:
    """Write the corpus."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        texts = collect()
    rows = [f"{topic}\t{text}\n" for topic, found in texts.items() for text in found]
    CORPUS.write_text(NOTICE.format(version=platform.python_version()) + "".join(rows), encoding="ascii")
    print(f"{CORPUS.name}: {len(rows)} texts, {CORPUS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
