"""The order and the grouping of tests in parallel runs."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

SHARED = re.compile(r"\bvllm_(url|stack)\b")
"""Fixtures that start a vLLM worker or a stack with one, once in each process that uses them."""


class ServerGroupScheduling(LoadScopeScheduling):
    """Schedule each test file in one process, and all files that share a vLLM worker or stack in the same process.

    The marker ``xdist_group`` isn't an alternative: pytest 9.2 ignores the node id by which xdist 3.8 passes the group.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(Path(self.config.rootpath, nodeid.partition("::")[0]))


@cache
def group_of(file: Path) -> str:
    """Return the name of the group that the tests of a file belong to."""
    shared = SHARED.search(file.read_text())
    return shared[0] if shared else str(file)
