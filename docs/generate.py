"""Write docs/openapi.json, and the pages and parts of pages that follow from the code.

Usage: ``python docs/generate.py [--check] [--accept-removals]``. With ``--check``, print a diff and exit with 1 if a
file isn't up to date. A route, parameter or field that ``docs/openapi.json`` has and the gateway no longer serves stops
the script, unless you pass ``--accept-removals``.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import tomllib
from pathlib import Path

from _generate.api_document import promises, served_document
from _generate.cli_page import cli_page, command_names
from _generate.layers import with_layers
from _generate.rest_page import rest_page, routes

DOCS = Path(__file__).parent
DOCUMENT = DOCS / "openapi.json"
EXAMPLES = DOCS / "reference" / "examples.toml"


def generated_files() -> dict[Path, str]:
    """Return the content of each file that this script writes."""
    document = served_document()
    examples = tomllib.loads(EXAMPLES.read_text())
    architecture = DOCS / "explanation" / "architecture.md"
    return {
        DOCUMENT: json.dumps(document, indent=1, ensure_ascii=False) + "\n",
        DOCS / "reference" / "rest.md": rest_page(document, checked(examples["rest"], routes(document))),
        DOCS / "reference" / "cli.md": cli_page(checked(examples["cli"], command_names())),
        architecture: with_layers(architecture.read_text(), DOCS.parent / "pyproject.toml"),
    }


def checked(examples: dict[str, dict[str, str]], names: set[str]) -> dict[str, dict[str, str]]:
    """Return the examples.

    Raises:
        SystemExit: an example is missing, or belongs to nothing.
    """
    missing, unknown = sorted(names - set(examples)), sorted(set(examples) - names)
    if missing or unknown:
        raise SystemExit(f"docs/reference/examples.toml: no example for {missing}; examples for nothing: {unknown}.")
    return examples


def difference(path: Path, content: str) -> str:
    """Return the unified diff from a file to its new content; empty if they are equal."""
    old = path.read_text() if path.exists() else ""
    name = path.relative_to(DOCS.parent).as_posix()
    return "".join(
        difflib.unified_diff(old.splitlines(keepends=True), content.splitlines(keepends=True), name, f"{name} (new)")
    )


def removed(content: str) -> list[str]:
    """Return the promises of the stored document that the new one doesn't keep."""
    if not DOCUMENT.exists():
        return []
    return sorted(promises(json.loads(DOCUMENT.read_text())) - promises(json.loads(content)))


def main() -> int:
    """Write or check the files, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file isn't up to date")
    parser.add_argument("--accept-removals", action="store_true", help="accept a route or field that is gone")
    options = parser.parse_args()
    files = generated_files()
    if options.check:
        diff = "".join(difference(path, content) for path, content in files.items())
        sys.stdout.write(diff)
        return 1 if diff else 0
    if (gone := removed(files[DOCUMENT])) and not options.accept_removals:
        sys.stderr.write("The API no longer has:\n" + "".join(f"  {promise}\n" for promise in gone))
        return 1
    for path, content in files.items():
        path.write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
