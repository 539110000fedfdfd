"""Runs tests against mutants of modules, each in a fork of one process that has collected the tests.

mutmut generates the mutants: one module that holds every changed copy of its functions, and calls the active one. An
import hook loads that module in place of the original. One fork runs all tests and records which functions each of them
calls. Then each mutant gets a fork, which runs the tests that call its function until one fails. Tests that killed
mutants of the same function run first. Properties run 50 examples, and stop at their first counterexample.

A test that takes much longer than without a mutant kills it too.
"""

from __future__ import annotations

import ast
import difflib
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import pickle
import random
import resource
import select
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from types import CodeType, ModuleType
from typing import IO, NoReturn

import hypothesis
import pytest
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

MAX_EXAMPLES = 50
MAX_SECONDS = 20.0
"""Maximum duration of the tests of a mutant; tests that are fast, or likely to kill it, come first."""
EXTRA_MEMORY_BYTES = 2 * 2**30
PYTEST = [
    "-p",
    "no:cacheprovider",
    "--tb=native",
    "-q",
    "-o",
    "timeout=0",
    "-m",
    "not vllm and not s3 and not prometheus",
]


@dataclass(frozen=True)
class Mutant:
    """One change of a function."""

    key: str
    """Name by which mutmut's modules find the changed function."""
    source: str
    """Path of the module below the package."""
    function: str
    change: str
    """Changed lines: ``before -> after``."""

    @property
    def called_as(self) -> str:
        """Name under which mutmut records calls of the function."""
        return self.key.partition("__mutmut_")[0]


@dataclass(frozen=True)
class MutatedModule:
    """A module with all its mutants."""

    name: str
    path: Path
    code: str
    mutants: list[Mutant]


def mutated(package: Path, source: str) -> MutatedModule:
    """Return the module at ``package / source`` with all its mutants."""
    path = package / source
    name = ".".join((package.name, *Path(source).with_suffix("").parts))
    generated = mutate_file_contents(str(path), path.read_text())
    functions = {
        node.name: ast.get_source_segment(generated.code, node) or ""
        for node in ast.walk(ast.parse(generated.code))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    mutants = []
    for mutant in generated.mutant_names:
        mangled = mutant.partition("__mutmut_")[0]
        function = mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        before = functions[f"{mangled}__mutmut_orig"].replace(f"{mangled}__mutmut_orig", function)
        after = functions[mutant].replace(mutant, function, 1)
        mutants.append(Mutant(f"{name}.{mutant}", source, function, changed_lines(before, after)))
    return MutatedModule(name, path, generated.code, mutants)


def changed_lines(before: str, after: str) -> str:
    """Return the lines that differ."""
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "-+"]
    sides = [" ".join(line[2:].strip() for line in lines if line[0] == sign) for sign in "-+"]
    return " -> ".join(sides)


class MutantLoader(importlib.machinery.SourceFileLoader):
    """Loads the module with its mutants."""

    def __init__(self, module: MutatedModule) -> None:
        super().__init__(module.name, str(module.path))
        self._module = module

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module with its mutants."""
        return compile(self._module.code, self._module.path, "exec", dont_inherit=True)


class MutantFinder(importlib.abc.MetaPathFinder):
    """Finds the modules with mutants before the import system finds the originals."""

    def __init__(self, modules: Sequence[MutatedModule]) -> None:
        self._modules = {module.name: module for module in modules}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the specification of a module with mutants."""
        module = self._modules.get(fullname)
        return module and importlib.util.spec_from_file_location(fullname, module.path, loader=MutantLoader(module))


@dataclass
class Run:
    """A pytest plugin that replaces the loop over the tests by one over the mutants."""

    mutants: list[Mutant]
    results: IO[str]
    durations: list[float] = field(default_factory=list)
    """Seconds of each test without a mutant."""
    callers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Indexes of the tests that call a function."""
    kills: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """Number of mutants of a function that each test killed."""
    all_kills: Counter[int] = field(default_factory=Counter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Let properties stop at their first counterexample."""
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", phases=phases, report_multiple_bugs=False, print_blob=False)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once without a mutant, then for each mutant."""
        if session.testsfailed:
            raise session.Interrupted("The tests can't be collected.")
        for item in session.items:
            limit_examples(getattr(item, "obj", None))
        gc.collect()
        gc.freeze()
        self._learn_callers(session)
        for mutant in self.mutants:
            started = time.perf_counter()
            status, test = self._try(session, mutant)
            seconds = f"{time.perf_counter() - started:.1f} s"
            if test is not None:
                self.kills[mutant.called_as][test] += 1
                self.all_kills[test] += 1
            killer = None if test is None else session.items[test].nodeid
            self._report({"mutant": mutant.key, "status": status, "killer": killer, "seconds": seconds})
        return True

    def _report(self, result: dict[str, str | None]) -> None:
        self.results.write(json.dumps(result) + "\n")
        self.results.flush()

    def _learn_callers(self, session: pytest.Session) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            record_callers(session, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            data = pipe.read()
        os.waitpid(child, 0)
        end_group(child)
        failed, self.durations, callers = pickle.loads(data)
        if failed:
            raise session.Interrupted(f"{failed} fails without a mutant.")
        for index, functions in enumerate(callers):
            for function in functions:
                self.callers[function].append(index)

    def _try(self, session: pytest.Session, mutant: Mutant) -> tuple[str, int | None]:
        """Run the tests that call a function with its mutant; return what came of it, and the test that killed it."""
        kills = self.kills[mutant.called_as]
        tests = sorted(
            self.callers[mutant.called_as],
            key=lambda test: -(1 + 9 * kills[test] + self.all_kills[test]) / (self.durations[test] + 0.01),
        )
        if not tests:
            return "untested", None
        tests = within(MAX_SECONDS, tests, self.durations)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            run_until_failure(session, mutant, tests, writer)
        os.close(writer)
        running, exited = tests[0], False
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            while select.select([pipe], [], [], 5 + 10 * self.durations[running])[0]:
                if not (message := pipe.read(2)):
                    exited = True
                    break
                running = int.from_bytes(message, "little")
        if not exited:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        end_group(child)
        if not exited:
            return "timeout", running
        return ("survived", None) if status == 0 else ("killed", running)


def within(seconds: float, tests: Sequence[int], durations: Sequence[float]) -> list[int]:
    """Return the first tests that take this time together; at least one."""
    ends = accumulate(durations[test] for test in tests)
    return [test for test, end in zip(tests, ends, strict=True) if end <= seconds] or list(tests[:1])


def limit_examples(test: object) -> None:
    """Let a property run ``MAX_EXAMPLES`` examples at most."""
    function = getattr(test, "__func__", test)
    if settings := getattr(function, "_hypothesis_internal_use_settings", None):
        fewer = hypothesis.settings(settings, max_examples=min(settings.max_examples, MAX_EXAMPLES))
        function._hypothesis_internal_use_settings = fewer  # type: ignore[union-attr]  # noqa: SLF001


def tests_in_order(session: pytest.Session, tests: Sequence[int]) -> Iterator[int]:
    """Run tests one after the other; yield the index of each before it runs."""
    for test, following in zip(tests, [*tests[1:], None], strict=True):
        yield test
        item = session.items[test]
        nextitem = None if following is None else session.items[following]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)


def record_callers(session: pytest.Session, writer: int) -> NoReturn:
    """Run all tests; write the first that fails, the seconds of each, and the functions that each calls."""
    os.setpgid(0, 0)
    set_mutant_under_test("stats")
    durations: list[float] = []
    callers: list[set[str]] = []
    started = time.perf_counter()
    for test in tests_in_order(session, range(len(session.items))):
        now = time.perf_counter()
        if test:
            durations.append(now - started)
            callers.append(set(state()._stats))  # noqa: SLF001  mutmut's only record of calls
        if session.testsfailed:
            break
        state()._stats.clear()  # noqa: SLF001
        started = now
    durations.append(time.perf_counter() - started)
    callers.append(set(state()._stats))  # noqa: SLF001
    failed = session.items[len(durations) - 1].nodeid if session.testsfailed else None
    with os.fdopen(writer, "wb") as pipe:
        pickle.dump((failed, durations, callers), pipe)
    os._exit(0)


def run_until_failure(session: pytest.Session, mutant: Mutant, tests: Sequence[int], writer: int) -> NoReturn:
    """Run tests with an active mutant; write the index of each before it runs; exit with 1 after a failure."""
    os.setpgid(0, 0)
    memory = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (memory + EXTRA_MEMORY_BYTES,) * 2)
    set_mutant_under_test(mutant.key)
    try:
        for test in tests_in_order(session, tests):
            if session.testsfailed:
                os._exit(1)
            os.write(writer, test.to_bytes(2, "little"))
    except BaseException:  # noqa: BLE001  such as pytest.exit
        os._exit(1)
    os._exit(1 if session.testsfailed else 0)


def end_group(child: int) -> None:
    """End the servers that the tests of a fork left."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def selected(mutants: list[Mutant], job: dict[str, object]) -> list[Mutant]:
    """Return the mutants of a job: named ones, a random sample or all; and of these the ones of one process."""
    names, sample, shard = job["names"], job["sample"], job["shard"]
    assert isinstance(shard, list)
    if isinstance(names, list):
        mutants = [mutant for mutant in mutants if mutant.key in names]
    if isinstance(sample, int) and sample < len(mutants):
        chosen = random.Random(str(job["seed"])).sample(range(len(mutants)), sample)
        mutants = [mutants[index] for index in sorted(chosen)]
    return mutants[shard[0] :: shard[1]]


def main() -> None:
    """Run the job of the first argument; write a list of all mutants, then a line of JSON for each result."""
    job = json.loads(sys.argv[1])
    results = os.fdopen(os.dup(1), "w")
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    modules = [mutated(Path(job["package"]), source) for source in job["sources"]]
    mutants = [mutant for module in modules for mutant in module.mutants]
    chosen = selected(mutants, job)
    results.write(json.dumps([[vars(mutant) for mutant in mutants], len(chosen)]) + "\n")
    results.flush()
    sys.meta_path.insert(0, MutantFinder(modules))
    sys.exit(pytest.main([*PYTEST, *job["tests"]], plugins=[Run(chosen, results)]))


if __name__ == "__main__":
    main()
