"""Sample scenes of a local stack, for the first screen of the console."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from sarlens.devstack.seaweedfs import BUCKET

QUESTIONS_FILE = "scenes.json"
"""File that ``sarbench scenes`` writes next to its scenes: by file, questions with their true answers."""
_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".webp", ".nitf"})
_MAX_SCENES = 12


def sample_questions(folder: Path | None) -> dict[str, str]:
    """Return the first question of each scene in ``folder``, by the ``s3://`` URL of the scene in the local stack."""
    if folder is None:
        return {}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    questions = _read_questions(folder / QUESTIONS_FILE)
    # Scenes with a question come first, in the order of the file.
    names = [name for name in questions if (folder / name) in files]
    names += [path.name for path in files if path.name not in questions]
    return {f"s3://{BUCKET}/{quote(name)}": questions.get(name, "") for name in names[:_MAX_SCENES]}


def _read_questions(file: Path) -> dict[str, str]:
    try:
        document = json.loads(file.read_bytes())
        return {name: str(next(iter(questions), "")) for name, questions in document.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # a folder of your own
