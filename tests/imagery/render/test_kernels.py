"""Native kernels: the same bits as NumPy, memory safety, and installation without a C compiler."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import sarlens
from imagery.object_fixtures import make_raster
from sarlens.imagery.core.raster import Quantity
from sarlens.imagery.render import kernels
from sarlens.imagery.render.speckle import despeckle, estimate_enl
from sarlens.imagery.render.stretch import stretch
from sarlens.types.render_params import Filter

ROOT = Path(__file__).parents[3]
NAMES: list[Filter] = [name for name in get_args(Filter) if name != "none"]
SHAPES = [(1, 1), (1, 9), (2, 5), (5, 2), (7, 7), (33, 40), (64, 511), (40, 513), (9, 1100)]
native = pytest.mark.skipif(not kernels.NATIVE, reason="the package was installed without a C compiler")


def compiler() -> str:
    """Return a C compiler that has the headers of Python; without one, the test is skipped."""
    path = shutil.which("gcc") or shutil.which("cc")
    if path is None or not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        pytest.skip("needs a C compiler and the headers of Python")
    return path


def extension() -> dict[str, Any]:
    """Return the entry of the extension in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (entry,) = project["tool"]["setuptools"]["ext-modules"]
    return dict(entry)


def compile_kernels(folder: Path, *options: str) -> Path:
    """Compile the extension into a folder with the options of pyproject.toml and more; warnings are errors."""
    module = folder / "_kernels.so"
    flags = [*extension()["extra-compile-args"], "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", *options]
    sources = [str(ROOT / source) for source in extension()["sources"]]
    include = f"-I{sysconfig.get_paths()['include']}"
    subprocess.run([compiler(), "-shared", "-fPIC", *flags, include, *sources, "-o", str(module), "-lm"], check=True)
    return module


def with_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render as an installation without native kernels does."""
    monkeypatch.setattr(kernels, "NATIVE", False)


def scene(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Return speckle over flat ground with strong targets, zeros and an edge."""
    generator = np.random.default_rng(seed)
    power: NDArray[np.float64] = generator.gamma(1 + seed % 5, size=shape) * np.where(
        np.arange(shape[1]) > shape[1] // 2, 30, 1
    )
    power[generator.random(shape) < 0.02] *= 1e6
    power[generator.random(shape) < 0.02] = 0
    return power.astype(np.float32)


def mask(shape: tuple[int, int], kind: str, seed: int) -> NDArray[np.bool_]:
    """Return a mask: all valid, scattered invalid pixels, an invalid border, or one valid pixel."""
    valid = np.ones(shape, dtype=bool)
    match kind:
        case "scattered":
            valid = np.random.default_rng(seed).random(shape) > 0.3
        case "border":
            valid[: shape[0] // 3], valid[:, : shape[1] // 4] = False, False
        case "one":
            valid[:] = False
            valid[shape[0] // 2, shape[1] // 2] = True
    return valid


@native
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["all", "scattered", "border", "one"])
@pytest.mark.parametrize("shape", SHAPES)
def test_native_filters_compute_the_bits_of_numpy(
    name: Filter, kind: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every filtered pixel has the same 32 bits, at edges, in strips of columns and near invalid pixels."""
    valid = mask(shape, kind, 1)
    raster = make_raster(np.where(valid, scene(shape, 1), 0).astype(np.float32), Quantity.INTENSITY, valid)
    fast = despeckle(raster, name).pixels
    with_numpy(monkeypatch)
    np.testing.assert_array_equal(fast.view(np.uint32), despeckle(raster, name).pixels.view(np.uint32))


@native
@given(
    name=st.sampled_from(NAMES),
    rows=st.integers(1, 24),
    cols=st.integers(1, 24),
    kind=st.sampled_from(["all", "scattered", "border", "one"]),
    seed=st.integers(0, 99),
    exponent=st.integers(-38, 30),
)
@settings(deadline=None)
def test_bits_are_equal_at_any_scale(name: Filter, rows: int, cols: int, kind: str, seed: int, exponent: int) -> None:
    """Powers between the smallest and the largest float32 give the same bits."""
    valid = mask((rows, cols), kind, seed)
    with np.errstate(over="ignore", under="ignore"):
        power = np.where(valid, scene((rows, cols), seed) * np.float64(10) ** exponent, 0).astype(np.float32)
    raster = make_raster(power, Quantity.INTENSITY, valid)
    fast = despeckle(raster, name).pixels
    with pytest.MonkeyPatch.context() as monkeypatch:
        with_numpy(monkeypatch)
        np.testing.assert_array_equal(fast.view(np.uint32), despeckle(raster, name).pixels.view(np.uint32))


@native
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 99), kind=st.sampled_from(["all", "scattered"]))
@settings(deadline=None)
def test_native_and_numpy_levels_are_equal(shape: tuple[int, int], seed: int, kind: str) -> None:
    """The stretch gives the same 8-bit levels, of which some are clipped to 0 and 255."""
    valid = mask(shape, kind, seed)
    valid[0, 0] = True
    level = np.random.default_rng(seed).normal(0, 20, shape).astype(np.float32)
    raster = make_raster(np.where(valid, level, 0).astype(np.float32), Quantity.DECIBEL, valid)
    fast = stretch(raster, (2, 98)).pixels
    with pytest.MonkeyPatch.context() as monkeypatch:
        with_numpy(monkeypatch)
        np.testing.assert_array_equal(fast, stretch(raster, (2, 98)).pixels)
    if min(shape) > 8:
        assert {0, 255} <= set(np.unique(fast))


@native
@given(
    size=st.integers(0, 300),
    seed=st.integers(0, 99),
    limits=st.tuples(st.integers(-40, 40), st.integers(-40, 40)),
    copies=st.integers(1, 40),
)
@settings(deadline=None)
def test_native_and_numpy_values_between_are_equal(size: int, seed: int, limits: tuple[int, int], copies: int) -> None:
    """The values between two limits, both included, are the same, unless they are more than an eighth: then all are."""
    values = np.repeat(np.random.default_rng(seed).integers(-50, 50, size), copies).astype(np.float32)
    low, high = np.float32(min(limits)), np.float32(max(limits))
    below, nearby = kernels.values_between(values, low, high)
    with pytest.MonkeyPatch.context() as monkeypatch:
        with_numpy(monkeypatch)
        expected_below, expected = kernels.values_between(values, low, high)
    if len(nearby) == len(values) != len(expected):
        assert below == 0
        assert len(expected) > len(values) // 8 - 32
    else:
        assert below == expected_below
        np.testing.assert_array_equal(nearby, expected)


@native
@pytest.mark.parametrize("shape", [(7, 7), (20, 33), (64, 511)])
@pytest.mark.parametrize("kind", ["all", "scattered", "border", "one"])
def test_the_number_of_looks_is_numpys(kind: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The equivalent number of looks has the same 64 bits."""
    valid, power = mask(shape, kind, 4), scene(shape, 4)
    fast = estimate_enl(power, valid, np.float32(3))
    with_numpy(monkeypatch)
    assert estimate_enl(power, valid, np.float32(3)) == fast


@native
def test_arrays_of_another_size_or_type_are_rejected() -> None:
    """A kernel never reads or writes beyond an array: other sizes are a ValueError, other types a TypeError."""
    _kernels: Any = importlib.import_module("sarlens.imagery.render._kernels")
    power, out = np.ones((8, 9), np.float32), np.empty((8, 9), np.float32)
    for rows, cols in [(9, 9), (8, 8), (0, 72), (-8, -9), (1 << 62, 4)]:
        with pytest.raises(ValueError, match="shape"):
            _kernels.lee(power, None, out, rows, cols, 1.0, 1.0)
    with pytest.raises(ValueError, match="shape"):
        _kernels.lee(power, np.ones((8, 8), bool), out, 8, 9, 1.0, 1.0)
    with pytest.raises(TypeError, match="type"):
        _kernels.lee(power.astype(np.float64), None, out, 8, 9, 1.0, 1.0)
    with pytest.raises(ValueError, match="shape"):
        _kernels.scale_to_8_bits(power, np.empty(71, np.uint8), 0.0, 1.0)
    with pytest.raises(TypeError, match="type"):
        _kernels.values_between(power, np.empty(72, np.float64), 0.0, 1.0)
    assert _kernels.values_between(power, np.empty(0, np.float32), 0.0, 1.0) == (0, -1)


def test_the_version_names_the_kernels() -> None:
    """``sarlens --version`` says whether native kernels or NumPy filter speckle."""
    ended = subprocess.run([sys.executable, "-m", "sarlens", "--version"], capture_output=True, text=True, check=True)
    kind = "native" if kernels.NATIVE else "NumPy"
    assert ended.stdout == f"sarlens {sarlens.__version__} ({kind} kernels)\n"


def test_an_installation_without_a_compiler_succeeds() -> None:
    """The extension is optional, uses the stable ABI, and forbids fused multiply-add, which changes bits.

    ``-fno-wrapv`` cancels ``-fwrapv`` of Python's own flags, which comes before it.
    """
    entry = extension()
    assert entry["optional"]
    assert entry["py-limited-api"]
    assert {"-ffp-contract=off", "-fno-wrapv"} <= set(entry["extra-compile-args"])
    assert not {"-ffast-math", "-Ofast", "-funsafe-math-optimizations"} & set(entry["extra-compile-args"])


SANITIZED = """
import importlib.util, sys
import numpy as np

spec = importlib.util.spec_from_file_location("_kernels", sys.argv[1])
kernels = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernels)
generator = np.random.default_rng(0)
for shape in [(1, 1), (1, 9), (3, 2), (7, 7), (20, 33), (5, 511), (4, 512), (9, 513), (3, 1100)]:
    power = generator.gamma(2, size=shape).astype(np.float32) * np.float32(1e6)
    for valid in (None, generator.random(shape) > 0.3, np.zeros(shape, bool)):
        for name in ("refined_lee", "lee", "frost", "gamma_map"):
            getattr(kernels, name)(power, valid, np.empty_like(power), *shape, 2e6, 3.0)
        blocks = np.empty((shape[0] // 7) * (shape[1] // 7))
        kernels.relative_variances(power, valid, blocks, *shape, 2e6, 1.0)
    kernels.scale_to_8_bits(power, np.empty(shape, np.uint8), 0.5, 1e30)
    for room in (0, 31, 32, power.size):
        kernels.values_between(power, np.empty(room, np.float32), 1e6, 2e6)
print("done")
"""


@pytest.mark.slow
def test_sanitizers_find_no_error(tmp_path: Path) -> None:
    """AddressSanitizer and UndefinedBehaviorSanitizer report nothing, and the code compiles without a warning."""
    options = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    module = compile_kernels(tmp_path, *options)
    found = subprocess.run([compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    if not Path(found.stdout.strip()).is_absolute():
        pytest.skip("needs libasan of the compiler")
    ended = subprocess.run(
        [sys.executable, "-c", SANITIZED, str(module)],
        env={**os.environ, "LD_PRELOAD": found.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "done\n", ended.stderr[-2000:]
