"""Every code block of the README and the documentation runs, and prints what the page shows."""

from __future__ import annotations

import ast
import configparser
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from docs.code_blocks import (
    DATA,
    PAGES,
    ROOT,
    RUN,
    SHOWN,
    CodeBlock,
    is_complete,
    matches,
    missing_output,
    printed_comments,
    read_blocks,
    read_commands,
)
from docs.conftest import Shell

EXISTING = [page for page in PAGES if page.exists()]
BLOCKS = [block for page in EXISTING for block in read_blocks(page)]
RUNNABLE = sorted({block.page for block in BLOCKS if block.language in RUN and not block.no_test})


def name_of(value: Path | CodeBlock) -> str:
    """Return the id of a parameter."""
    return value.name if isinstance(value, CodeBlock) else str(value.relative_to(ROOT))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_blocks_run(page: Path, shell: Shell) -> None:
    """All blocks of a page run in order against a local stack, and print what the page shows."""
    failures = []
    for block in read_blocks(page):
        if not block.no_test and block.language in RUN:
            failures += run(block, shell)
    assert not failures, "\n\n".join(failures)


def run(block: CodeBlock, shell: Shell) -> list[str]:
    """Run one block, and describe how it fails."""
    if block.language == "console":
        return [
            failure
            for command in read_commands(block)
            if (failure := compare(f"{name_of(block.page)}:{command.line}", command.text, command.output, shell))
        ]
    done = shell.python(block.text) if block.language == "python" else shell.bash(block.text)
    missing = missing_output(printed_comments(block), done.stdout) if block.language == "python" else []
    if done.returncode == 0 and not missing:
        return []
    return [describe(block.name, done, "".join(f"{line}\n" for line in missing))]


def compare(name: str, command: str, expected: str, shell: Shell) -> str | None:
    """Run one console command, and describe how its output differs: standard output, or both outputs together."""
    done = shell.bash(command)
    outputs = (done.stdout, done.stderr + done.stdout, done.stdout + done.stderr)
    same = any(matches(expected, shell.with_default_ports(output)) for output in outputs)
    if same and (done.returncode == 0 or expected):
        return None
    return describe(name, done, expected)


def describe(name: str, done: subprocess.CompletedProcess[str], expected: str) -> str:
    """Return a report of one run."""
    return f"{name}: exit {done.returncode}\nexpected: {expected}\nstdout: {done.stdout}\nstderr: {done.stderr}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in DATA], ids=name_of)
def test_data_blocks_parse(block: CodeBlock) -> None:
    """JSON, YAML, TOML and INI blocks are valid."""
    if block.no_test:
        return
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "yaml":
        list(yaml.safe_load_all(block.text))
    elif block.language == "toml":
        tomllib.loads(block.text)
    else:
        section = "" if block.text.startswith("[") else "[settings]\n"
        configparser.ConfigParser(interpolation=None).read_string(section + block.text)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in RUN], ids=name_of)
def test_code_blocks_parse(block: CodeBlock) -> None:
    """Bash and Python blocks are complete, those that can't run here included, and a console block has a command."""
    if block.language == "python":
        ast.parse(block.text)
    elif block.language == "bash":
        assert is_complete(block.text)
    else:
        assert read_commands(block)
        assert block.text.startswith("$ ")


def test_every_block_has_a_known_language() -> None:
    """A block without a language, or of a language that the tests don't know, would never be checked."""
    assert [block.name for block in BLOCKS if block.language not in RUN | DATA | SHOWN] == []


def test_every_untested_block_has_a_reason() -> None:
    """``no-test`` names a reason, and only blocks that would be tested have it."""
    untested = [block for block in BLOCKS if block.no_test is not None]
    assert [block.name for block in untested if len((block.no_test or "").split()) < 2] == []
    assert [block.name for block in untested if block.language in SHOWN] == []
    comments = sum(len(re.findall(r"^\s*<!-- no-test", page.read_text(), re.MULTILINE)) for page in EXISTING)
    assert comments == len(untested), "a no-test comment isn't on the line before a block"


def test_most_blocks_are_tested() -> None:
    """More than half of the blocks that can run do run."""
    runnable = [block for block in BLOCKS if block.language in RUN]
    tested = [block for block in runnable if block.no_test is None]
    assert len(tested) > len(runnable) / 2, f"{len(tested)} of {len(runnable)}"


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("2", "2\n", True),
        ("2", "3\n", False),
        ("", "", True),
        ("", "2\n", False),
        ('{"id":"chatcmpl-...","x":1}', '{"id":"chatcmpl-77","x":1}\n', True),
        ("a\n...\nd", "a\nb\nc\nd\n", True),
        ("a\n...\nd", "a\nd\n", True),
        ("a\n...", "a\nb\n", True),
        ("a", "a\nb\n", False),
        ("1.5", "125\n", False),
        ("  a\n  b", "  a\n  b\n", True),
    ],
)
def test_output_is_compared(expected: str, actual: str, *, same: bool) -> None:
    """``...`` matches any text or any lines, and everything else must be equal."""
    assert matches(expected, actual) is same


def test_blocks_are_read(tmp_path: Path) -> None:
    """Blocks have their line, language, reason and dedented text; console commands may span lines."""
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- no-test: needs a GPU -->\n```bash\nrun\n```\n\n1. Item:\n\n    ```console\n"
        "    $ curl -d '{\n      \"a\": 1}' \\\n        url\n    ok\n    $ true\n    ```\n"
    )
    first, second = read_blocks(page)
    assert (first.line, first.language, first.text, first.no_test) == (2, "bash", "run", "needs a GPU")
    assert second.no_test is None
    assert [(command.line, command.text, command.output) for command in read_commands(second)] == [
        (9, "curl -d '{\n  \"a\": 1}' \\\n    url", "ok"),
        (13, "true", ""),
    ]


def test_comments_after_print_are_expected_output(tmp_path: Path) -> None:
    """``print(x)  # 2`` names a line of the output; the lines are compared in order."""
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1  # one\nprint(x)  # 1\nfor y in 2, 3:\n    print(y)  # 3\n```\n")
    expected = printed_comments(read_blocks(page)[0])
    assert expected == ["1", "3"]
    assert missing_output(expected, "1\n2\n3\n") == []
    assert missing_output(expected, "3\n1\n") == ["3"]
