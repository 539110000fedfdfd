"""CLI reference page, from the Typer applications and the stored examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

import sarbench.cli
import sarlens.cli
from _generate.markdown import example_block, table

APPLICATIONS: dict[str, typer.Typer] = {"sarlens": sarlens.cli.app, "sarbench": sarbench.cli.app}

_INTRODUCTION = """\
# Command line

<!-- Written by docs/generate.py from the commands and docs/reference/examples.toml. Don't edit. -->

`sarlens` is the gateway and its client; `sarbench` is the benchmark. In a checkout, `make serve` installs both into
`.venv`: run `. .venv/bin/activate` first. `--help` of each command prints the text of this page.
"""


def cli_page(examples: dict[str, dict[str, str]]) -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for program, application in APPLICATIONS.items():
        group = _group(application)
        parts += [f"## {program}\n", _text(group.help), _options(group, {})]
        for name, command in group.commands.items():
            parts.append("\n".join(_section(f"{program} {name}", command, examples)))
    return "\n".join(part for part in parts if part)


def command_names() -> set[str]:
    """Return the name of every command, with its program."""
    return {
        f"{program} {name}" for program, application in APPLICATIONS.items() for name in _group(application).commands
    }


def _group(application: typer.Typer) -> Any:
    return typer.main.get_command(application)


def _section(name: str, command: Any, examples: dict[str, dict[str, str]]) -> Iterator[str]:
    hints = get_type_hints(command.callback)
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    usage = [f"{each.name.upper()}" if each.required else f"[{each.name.upper()}]" for each in arguments]
    yield f"### {name}\n"
    yield _text(command.help)
    yield f"Usage: `{' '.join([name, '[OPTIONS]', *usage])}`\n"
    yield _options(command, hints)
    yield example_block(examples[name])


def _text(help_text: str | None) -> str:
    """Return the help of a command without its example, as one line a paragraph."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(help_text or ""))
    kept = [re.sub(r"\s+", " ", text) for text in paragraphs if not text.startswith("Example:")]
    return "\n\n".join(kept) + "\n"


def _options(command: Any, hints: dict[str, Any]) -> str:
    rows = [_row(parameter, hints.get(parameter.name, bool)) for parameter in command.params if not _hidden(parameter)]
    return table(("option", "type", "default", "meaning"), rows) if rows else ""


def _hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False)) or parameter.name in {"install_completion", "show_completion"}


def _row(parameter: Any, hint: Any) -> tuple[str, str, str, str]:
    is_argument = parameter.param_type_name == "argument"
    names = [parameter.name.upper()] if is_argument else [*parameter.opts, *parameter.secondary_opts]
    meaning = re.sub(r" *\[default: [^\]]*\]", "", parameter.help or "")
    if parameter.envvar:
        meaning += f" Environment: `{parameter.envvar}`."
    kind = _type(hint)
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if low is not None or high is not None:
        kind += f", {low} to {high}" if None not in {low, high} else f", at least {low}" if high is None else ""
    repeated = ", may be repeated" if parameter.multiple else ""
    return ", ".join(f"`{name}`" for name in names), kind + repeated, _default(parameter), meaning


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    written = re.search(r"\[default: ([^\]]*)\]", parameter.help or "")
    if written:
        return written[1] if " " in written[1] else f"`{written[1]}`"
    value = parameter.default
    if value is None or value is False or value == [] or callable(value):
        return ""
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _type(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    parts = [part for part in get_args(hint) if part is not type(None)]
    if parts:
        return _type(parts[0])
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(f"`{member.value}`" for member in hint)
    return {str: "text", int: "integer", float: "number", bool: "flag", Path: "path"}.get(hint, str(hint))
