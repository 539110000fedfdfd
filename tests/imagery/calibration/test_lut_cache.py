"""The cache of Sentinel-1 calibration tables."""

from __future__ import annotations

import pytest

from sarlens.imagery.calibration.lut_cache import CalibrationCache
from sarlens.imagery.calibration.models import Sentinel1Calibration
from sarlens.imagery.calibration.sentinel1 import read_calibration_luts
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.source_image import Annotation, SourceImage
from sarlens.types.caller import ANONYMOUS
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import Calibration, RenderParams
from support.in_memory_store import InMemoryStore
from support.sentinel1_safe import DUAL, SAFE, small_product


async def test_annotation_is_read_once(monkeypatch: pytest.MonkeyPatch, threads: ImageThreads) -> None:
    """Renderings with one coefficient share one reading; a table larger than the cache is read each time."""
    reads: list[Calibration] = []

    def counted(annotation: Annotation, calibration: Calibration) -> Sentinel1Calibration:
        reads.append(calibration)
        return read_calibration_luts(annotation, calibration)

    monkeypatch.setattr("sarlens.imagery.calibration.lut_cache.read_calibration_luts", counted)
    store = InMemoryStore()
    store.put_folder(SAFE, small_product(DUAL))
    resolver = store.resolver(threads)

    async def opened(calibration: Calibration) -> SourceImage:
        return (await resolver.open(ImageRequest(SAFE, RenderParams(calibration=calibration)), ANONYMOUS))[0]

    cache = CalibrationCache(threads)
    for _ in range(3):
        await cache.get(await opened("sigma0"), "sigma0")
    assert reads == ["sigma0"]
    await cache.get(await opened("gamma0"), "gamma0")
    small = CalibrationCache(threads, 1)
    for _ in range(2):
        await small.get(await opened("beta0"), "beta0")
    assert reads[1:] == ["gamma0", "beta0", "beta0"]
