"""Mutation tests: the modules and tests of the configuration exist, and the runner finds what no test notices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mutants

COUNTER = """
def add(total: int, number: int) -> int:
    return total + number


def half(number: int) -> float:
    return number / 2


def untested() -> int:
    return 3
"""
TESTS = """
from counting.counter import add, half


def test_zero():
    assert add(5, 0) == 5


def test_half():
    assert half(4) == 2
"""


def test_the_configuration_names_files_that_exist() -> None:
    """Every module has sources and tests, and every equivalent change is one of a listed source."""
    sources = [source for module in mutants.MODULES.values() for source in module["sources"]]
    assert [source for source in sources if not (mutants.PACKAGE / source).is_file()] == []
    assert len(set(sources)) == len(sources)
    tests = [test for module in mutants.MODULES.values() for test in module["tests"]]
    assert [test for test in tests if not (mutants.ROOT / test).is_file()] == []
    assert {source for source, _, _ in mutants.EQUIVALENT} <= set(sources)


def test_survivors_are_found(tmp_path: Path) -> None:
    """A changed sign survives a test with 0, and a function without tests is named; a changed half is killed."""
    pytest.importorskip("mutmut")
    package = tmp_path / "counting"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "counter.py").write_text(COUNTER)
    (tmp_path / "test_counter.py").write_text(TESTS)
    job: dict[str, Any] = {
        "package": str(package),
        "sources": ["counter.py"],
        "tests": [str(tmp_path / "test_counter.py")],
    }
    job |= {"names": None, "sample": None, "seed": 17, "shard": [0, 1], "log": str(tmp_path / "log")}
    score = mutants.run_job(job)
    assert {score.mutants[key]["change"]: result["status"] for key, result in score.results.items()} == {
        "return total + number -> return total - number": "survived",
        "return number / 2 -> return number * 2": "killed",
        "return number / 2 -> return number / 3": "killed",
        "return 3 -> return 4": "untested",
    }
    assert str(score) == "killed 2 of 4 (50 %), 0 equivalent"
    assert [line.split()[1] for line in score.survivors().splitlines()] == ["survived", "untested"]


def test_a_sample_is_the_same_each_time() -> None:
    """A sample of 5 of 40 mutants depends on the seed alone, and processes share it without overlap."""
    runner = pytest.importorskip("mutant_runner", reason="mutmut isn't installed")
    every = [runner.Mutant(f"m{number:02}", "m.py", "f", "a -> b") for number in range(40)]
    job: dict[str, Any] = {"names": None, "sample": 5, "seed": 17, "shard": [0, 1]}
    sample = runner.selected(every, job)
    assert len(sample) == 5
    assert sample == sorted(sample, key=lambda mutant: mutant.key) == runner.selected(every, job)
    assert sample != runner.selected(every, job | {"seed": 18})
    halves = [runner.selected(every, job | {"shard": [shard, 2]}) for shard in (0, 1)]
    assert [len(half) for half in halves] == [3, 2]
    assert {*halves[0], *halves[1]} == set(sample)
    assert runner.selected(every, job | {"names": ["m07"], "sample": None}) == [every[7]]
