#!/usr/bin/env python3
"""Checks the English of documentation, docstrings, comments and messages against the rules of .vale/styles.

Prints stilted phrases per 1,000 words, for each group and file. Exits with status 1 if a group exceeds the limit, or if
documentation breaks a rule of level ``error``. The Vale package of PyPI downloads its program on first use, so this
script reads the same rule files without a network.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prose_text import Sentence, read_sentences

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / ".vale/styles/Sarlens"
LIMIT = 0.6
"""Stilted phrases per 1,000 words."""
RATED = {"Stilted", "ClauseStart"}
DOCS = re.compile(r"[^/]+\.md|(docs|examples|service|loadtests|tests|\.github)/.*\.md")
CODE = re.compile(r"(service|tests|loadtests|examples)/.*\.(py|proto)|helm/.*\.(ya?ml|tpl|txt)|Dockerfile|Makefile")
EXEMPT = re.compile(r".*_pb2(_grpc)?\.py|tests/test_prose\.py")
Find = Callable[[Sentence], list[tuple[str, ...]]]


@dataclass(frozen=True)
class Rule:
    """One Vale rule: a function from a sentence to the phrases that break it."""

    name: str
    level: str
    message: str
    find: Find


@dataclass(frozen=True)
class Hit:
    """A phrase that breaks a rule."""

    sentence: Sentence
    rule: Rule
    words: tuple[str, ...]
    """Values for the message's ``%s``."""

    def __str__(self) -> str:
        """``file:line: rule: message``, as compilers print it."""
        path = self.sentence.path
        name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        text = self.rule.message
        for word in self.words:
            text = text.replace("%s", word, 1)
        return f"{name}:{self.sentence.line}: {self.rule.name}: {text}"


def read_rules(folder: Path = RULES) -> list[Rule]:
    """Read the rule files that this script supports: existence, substitution, occurrence and repetition."""
    rules = []
    for path in sorted(folder.glob("*.yml")):
        spec = yaml.safe_load(path.read_text())
        find = {
            "existence": _existence,
            "substitution": _substitution,
            "occurrence": _occurrence,
            "repetition": _repetition,
        }
        message = spec["message"]
        rules.append(Rule(path.stem, spec["level"], message, find[spec["extends"]](spec)))
    return rules


def _compiled(spec: dict[str, Any], tokens: Iterable[str]) -> re.Pattern[str]:
    joined = "|".join(tokens)
    pattern = f"(?:{joined})" if spec.get("nonword") else rf"\b(?:{joined})(?!\w)"
    return re.compile(pattern, re.IGNORECASE if spec.get("ignorecase") else 0)


def _existence(spec: dict[str, Any]) -> Find:
    pattern = _compiled(spec, spec["tokens"])
    if spec.get("scope") == "sentence":
        return lambda sentence: (
            [] if sentence.heading else [(match[0].strip("|;:, "),) for match in pattern.finditer(sentence.text)]
        )
    return lambda sentence: [(match[0],) for match in pattern.finditer(sentence.text)]


def _substitution(spec: dict[str, Any]) -> Find:
    pairs = [(_compiled(spec, [old]), new) for old, new in spec["swap"].items()]
    return lambda sentence: [(new, match[0]) for pattern, new in pairs for match in pattern.finditer(sentence.text)]


def _occurrence(spec: dict[str, Any]) -> Find:
    return lambda sentence: [(str(sentence.words),)] if sentence.words > spec["max"] else []


def _repetition(_: dict[str, Any]) -> Find:
    pattern = re.compile(r"\b([A-Za-z]{2,}) \1\b(?!-)", re.IGNORECASE)
    return lambda sentence: [(match[1],) for match in pattern.finditer(sentence.text)]


def check(sentences: Iterable[Sentence], rules: list[Rule]) -> list[Hit]:
    """Return every phrase that breaks a rule."""
    return [Hit(sentence, rule, words) for sentence in sentences for rule in rules for words in rule.find(sentence)]


def rate(hits: list[Hit], words: int) -> float:
    """Return stilted phrases per 1,000 words."""
    return 1000 * sum(hit.rule.name in RATED for hit in hits) / max(words, 1)


def tracked() -> list[Path]:
    """Return the repository's files, new ones included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in sorted(set(names)) if name and (ROOT / name).is_file()]


def group_of(path: Path) -> str | None:
    """Return ``docs`` or ``code``, or None for a file that isn't checked."""
    name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else f"service/{path.name}"
    if EXEMPT.fullmatch(name):
        return None
    return "docs" if DOCS.fullmatch(name) else "code" if CODE.fullmatch(name) else None


def report(group: str, paths: list[Path], rules: list[Rule], *, verbose: bool) -> tuple[list[Hit], float]:
    """Print one group's rate, and with ``verbose`` each file's."""
    everything: list[Hit] = []
    rows, total, sentences, long = [], 0, 0, 0
    for path in paths:
        read = read_sentences(path)
        words, hits = sum(sentence.words for sentence in read), check(read, rules)
        total, sentences = total + words, sentences + len(read)
        long += sum(hit.rule.name == "SentenceLength" for hit in hits)
        everything += hits
        rows.append((rate(hits, words), words, path))
    for row_rate, words, path in sorted(rows, reverse=True):
        if verbose and row_rate:
            print(
                f"  {row_rate:6.2f}  {words:6} words  {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}"
            )
    found = rate(everything, total)
    print(f"{group}: {found:.2f} stilted phrases per 1,000 words ({total} words; limit {LIMIT});", end=" ")
    print(f"{long} of {sentences} sentences have more than 25 words")
    return everything, found


def main() -> int:
    """Check the named files, or all files of the repository."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="files to check; default: all")
    parser.add_argument("--group", choices=("docs", "code"), help="check one group only")
    parser.add_argument("--list", action="store_true", help="print each hit as file:line")
    parser.add_argument("--long", action="store_true", help="list sentences of more than 25 words too")
    parser.add_argument("--files", action="store_true", help="print each file's rate")
    args = parser.parse_args()
    rules, failed = read_rules(), False
    paths = [path.resolve() for path in args.paths] or tracked()
    for group in (args.group,) if args.group else ("docs", "code"):
        chosen = [path for path in paths if group_of(path) == group]
        if not chosen:
            continue
        hits, found = report(group, chosen, rules, verbose=args.files)
        errors = [hit for hit in hits if hit.rule.level == "error"] if group == "docs" else []
        shown = [hit for hit in hits if hit.rule.name in RATED] if args.list else []
        shown += [hit for hit in hits if hit.rule.name == "SentenceLength"] if args.long else []
        for hit in [*errors, *shown]:
            print(hit)
        failed = failed or found > LIMIT or bool(errors)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
