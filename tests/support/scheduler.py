"""The order and the grouping of tests in parallel runs."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

SHARES_VLLM = re.compile(r"\bvllm_url\b")


class ServerGroupScheduling(LoadScopeScheduling):
    """Schedule each test file in one process, and all files that share a vLLM worker in the same process.

    The fixture ``vllm_url`` starts a worker in each process that uses it. The marker ``xdist_group`` isn't an
    alternative: pytest 9.2 ignores the node id by which xdist 3.8 passes the group.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(Path(self.config.rootpath, nodeid.partition("::")[0]))


@cache
def group_of(file: Path) -> str:
    """Return the name of the group that the tests of a file belong to."""
    return "vllm" if SHARES_VLLM.search(file.read_text()) else str(file)
