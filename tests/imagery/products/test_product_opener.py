"""Products from the URL of a folder to calibrated polarizations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imagery.annotation_oracle import GAINS, gridded, noise_by_scipy
from imagery.object_fixtures import encoded, geotiff
from sarlens.errors import BadRequest, BandNotFound, CalibrationMissing, ImageNotFound, UnsupportedImage
from sarlens.imagery.calibration.lut_cache import CalibrationCache
from sarlens.imagery.core.image_threads import ImageThreads
from sarlens.imagery.core.object_reader import DecodeLimits, ObjectReader
from sarlens.imagery.core.radiometry import detect
from sarlens.imagery.core.raster import Raster
from sarlens.imagery.formats.reader import read_source_image
from sarlens.imagery.products.sentinel1_safe import SafeProduct, read_manifest
from sarlens.imagery.service.image_service import ImageService
from sarlens.types.caller import ANONYMOUS
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import RenderParams
from sarlens.types.window import Window
from support.in_memory_store import InMemoryStore
from support.rendering import resolve_and_render
from support.sar_samples import SAMPLES
from support.sentinel1_safe import (
    DUAL,
    SAFE,
    VH,
    VV,
    annotation,
    digital_numbers,
    manifest,
    measurement,
    product_annotation,
    real_product,
    small_product,
)


async def calibrated(store: InMemoryStore, threads: ImageThreads, url: str, **sar: Any) -> Raster:
    """The calibrated power of a rendering, before the speckle filter."""
    render = RenderParams.model_validate(sar)
    source_image, render = await store.resolver(threads).open(ImageRequest(url, render), ANONYMOUS)
    raster = read_source_image(source_image, render, 448, DecodeLimits())
    assert isinstance(raster, Raster)
    calibrator = await CalibrationCache(threads).get(source_image, render.calibration)
    assert calibrator is not None
    return calibrator.calibrate(detect(raster))


async def test_a_measurement_outside_a_safe_folder_is_calibrated(
    store: InMemoryStore, image_service: ImageService
) -> None:
    """A file in ``measurement/`` is calibrated by its three annotation files; each change of them changes the id."""
    url, folder = f"{SAFE}/measurement/s1a-vv.tiff", f"{SAFE}/annotation/"
    store.objects[url] = geotiff(VV)
    render = RenderParams(calibration="sigma0")
    keep = ' Use "noise": "keep" to calibrate without removing the noise.'
    for path, data, advice in (
        ("calibration/calibration-s1a-vv", annotation("calibration", values="2 40"), ""),
        ("calibration/noise-s1a-vv", annotation("noise"), keep),
        ("s1a-vv", product_annotation(), keep),
    ):
        with pytest.raises(CalibrationMissing) as rejected:
            await image_service.resolve(ImageRequest(url, render), 448, ANONYMOUS)
        missing = f"{folder}{path}.xml"
        assert (
            rejected.value.message == f"The image can't be calibrated: its annotation {missing} doesn't exist.{advice}"
        )
        store.objects[missing] = data
    plain, uncalibrated = await resolve_and_render(image_service, ImageRequest(url), 448, ANONYMOUS)
    first, rendered = await resolve_and_render(image_service, ImageRequest(url, render), 448, ANONYMOUS)
    store.objects[f"{folder}calibration/noise-s1a-vv.xml"] = annotation("noise", values="9 9")
    second = await image_service.resolve(ImageRequest(url, render), 448, ANONYMOUS)
    assert len({plain.id, first.id, second.id}) == 3
    assert uncalibrated.data != rendered.data


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("suffix", ["", "/", "/manifest.safe"])
async def test_bands_select_the_polarizations_of_a_product(
    store: InMemoryStore, threads: ImageThreads, cog: bool, suffix: str
) -> None:
    """VV comes first in any order of the files; each polarization has its own calibration, as a COG too."""
    store.put_folder(SAFE, small_product(DUAL, cog=cog))
    gain = 2 + 2 * np.arange(200) / 200
    noise = {"VV": 800 + 1000 * np.arange(200) / 200, "VH": 400 + 500 * np.arange(200) / 200}
    for bands, names in ((None, "VV"), (["vh"], "VH"), ([1], "VV"), (["VV", "VH"], "VV VH"), ([2, 1], "VH VV")):
        raster = await calibrated(store, threads, f"{SAFE}{suffix}", bands=bands, calibration="sigma0", filter="none")
        assert raster.bands == tuple(names.split())
        for plane, name in zip(raster.pixels, raster.bands, strict=True):
            dn = {"VV": VV, "VH": VH}[name].astype(float)
            expected = np.maximum(dn**2 - noise[name], noise[name] / 10) / gain**2
            np.testing.assert_allclose(plane, expected, rtol=2e-6)


async def test_a_manifest_of_a_cog_product_can_list_the_original_names(
    store: InMemoryStore, image_service: ImageService
) -> None:
    """A measurement that the manifest lists as NAME.tiff is opened as NAME-cog.tiff."""
    files = small_product(DUAL, cog=True)
    files["manifest.safe"] = files["manifest.safe"].replace(b"-cog.tiff", b".tiff")
    store.put_folder(SAFE, files)
    render = RenderParams(calibration="beta0", bands=("VV", "VH"))
    resolved = await image_service.resolve(ImageRequest(SAFE, render), 448, ANONYMOUS)
    assert [part.reader.name in store.objects for part in resolved.source_image.measurements] == [True, True]


async def test_a_product_renders_as_its_measurements(store: InMemoryStore, image_service: ImageService) -> None:
    """A polarization of the folder has the pixels of its file, under an id of its own; other bands have other ids."""
    files = small_product(DUAL)
    store.put_folder(SAFE, files)
    url = next(f"{SAFE}/{path}" for path in files if "measurement" in path and "-vh-" in path)
    vh, of_product = await resolve_and_render(
        image_service, ImageRequest(SAFE, RenderParams(bands=("VH",))), 448, ANONYMOUS
    )
    _, of_file = await resolve_and_render(image_service, ImageRequest(url), 448, ANONYMOUS)
    composite = await image_service.resolve(ImageRequest(SAFE, RenderParams(bands=("VH", "VV"))), 448, ANONYMOUS)
    assert of_product.data == of_file.data
    assert len({vh.id, composite.id, (await image_service.resolve(ImageRequest(SAFE), 448, ANONYMOUS)).id}) == 3


async def test_removed_noise_is_not_removed_again(store: InMemoryStore, threads: ImageThreads) -> None:
    """A product whose annotation says that noise was removed keeps its power; dark pixels keep their floor."""
    dark = np.where(np.arange(200) < 100, 5, VV).astype(np.uint16)
    store.put_folder(SAFE, small_product({"iw-grd-vv": dark}, denoised="true"))
    raster = await calibrated(store, threads, SAFE, calibration="sigma0", filter="none")
    gain, noise = 2 + 2 * np.arange(200) / 200, 400 + 500 * np.arange(200) / 200
    np.testing.assert_allclose(raster.pixels[0], np.maximum(dark.astype(float) ** 2, noise / 10) / gain**2, rtol=2e-6)


async def test_a_product_without_noise_annotation_is_calibrated_with_its_noise(
    store: InMemoryStore, threads: ImageThreads
) -> None:
    """With ``"noise": "keep"`` the coefficient is |DN|² / A², and only the calibration vectors are opened."""
    files = small_product(DUAL)
    annotations = {path for path in files if path.startswith("annotation/")}
    calibration = {path for path in annotations if path.startswith("annotation/calibration/calibration-")}
    assert (len(annotations), len(calibration)) == (6, 2)
    store.put_folder(SAFE, {path: data for path, data in files.items() if path not in annotations - calibration})
    with pytest.raises(CalibrationMissing, match='"noise": "keep"'):
        await calibrated(store, threads, SAFE, calibration="sigma0")
    raster = await calibrated(
        store, threads, SAFE, bands=["VV", "VH"], calibration="sigma0", noise="keep", filter="none"
    )
    gain = 2 + 2 * np.arange(200) / 200
    for plane, dn in zip(raster.pixels, (VV, VH), strict=True):
        np.testing.assert_allclose(plane, np.broadcast_to(dn.astype(float) ** 2 / gain**2, plane.shape), rtol=2e-6)


@pytest.mark.parametrize("denoised", ["", "maybe", "TRUE"])
async def test_annotation_must_say_whether_noise_was_removed(
    store: InMemoryStore, image_service: ImageService, denoised: str
) -> None:
    """Any other value than true and false is rejected."""
    store.put_folder(SAFE, small_product(DUAL, denoised=denoised))
    with pytest.raises(CalibrationMissing, match="noise"):
        await resolve_and_render(image_service, ImageRequest(SAFE, RenderParams(calibration="sigma0")), 448, ANONYMOUS)


SLC = {
    f"iw{swath}-slc-{band}": digital_numbers(swath) * np.complex64(1) for swath in (1, 2, 3) for band in ("vv", "vh")
}


async def test_a_swath_selects_measurements(
    store: InMemoryStore, image_service: ImageService, threads: ImageThreads
) -> None:
    """Swath and bands select measurements of an SLC product; a file outside a product has no swaths."""
    store.put_folder(SAFE, small_product(SLC))
    raster = await calibrated(store, threads, SAFE, swath="iw2", bands=["VV", "VH"], calibration="beta0")
    assert raster.bands == ("VV", "VH")
    with pytest.raises(BandNotFound, match="VV, VH"):
        await image_service.resolve(ImageRequest(SAFE, RenderParams(swath="IW2", bands=("HH",))), 448, ANONYMOUS)
    store.objects["s3://scenes/port.tif"] = b"II*\0"
    with pytest.raises(BadRequest) as rejected:
        await image_service.resolve(ImageRequest("s3://scenes/port.tif", RenderParams(swath="IW1")), 448, ANONYMOUS)
    assert rejected.value.message == "Only Sentinel-1 products in SAFE layout have swaths."


async def test_a_rejected_manifest_opens_no_other_file(store: InMemoryStore, image_service: ImageService) -> None:
    """After a manifest that lists a file elsewhere, nothing else is opened."""
    store.put_folder(SAFE, {"manifest.safe": manifest(["s3://secret/measurement/s1a-iw-grd-vv-x-001.tiff"])})
    with pytest.raises(UnsupportedImage):
        await image_service.resolve(ImageRequest(SAFE), 448, ANONYMOUS)
    assert store.opened == [f"{SAFE}/manifest.safe"]


async def test_a_manifest_is_parsed_once_per_version(
    store: InMemoryStore, image_service: ImageService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests for one version of a product share the parsed manifest; a new version is parsed again."""
    parsed: list[str] = []

    def counted(reader: ObjectReader, folder: str) -> SafeProduct:
        parsed.append(reader.version)
        return read_manifest(reader, folder)

    monkeypatch.setattr("sarlens.imagery.products.product_opener.read_manifest", counted)
    store.put_folder(SAFE, small_product(DUAL))
    for _ in range(3):
        await image_service.resolve(ImageRequest(SAFE), 448, ANONYMOUS)
    assert len(parsed) == 1
    store.put_folder(SAFE, {"manifest.safe": small_product({"iw-grd-vh": VH})["manifest.safe"]})
    with pytest.raises(BandNotFound, match="It has 1 band: VH"):
        await image_service.resolve(ImageRequest(SAFE, RenderParams(bands=("VV",))), 448, ANONYMOUS)
    assert len(set(parsed)) == 2


async def test_an_incomplete_product_is_rejected_with_the_reason(
    store: InMemoryStore, image_service: ImageService
) -> None:
    """No manifest, no measurement, no such polarization, different sizes, an 8-bit image in place of a measurement."""
    with pytest.raises(ImageNotFound, match=r"manifest\.safe"):
        await image_service.resolve(ImageRequest(SAFE), 448, ANONYMOUS)
    files = small_product(DUAL)
    path = next(path for path in files if "measurement" in path and "-vv-" in path)
    store.put_folder(SAFE, {key: data for key, data in files.items() if key != path})
    with pytest.raises(ImageNotFound, match=r"The manifest of the product lists .*-vv-.*, which doesn't exist"):
        await image_service.resolve(ImageRequest(SAFE), 448, ANONYMOUS)
    with pytest.raises(BandNotFound, match="It has 2 bands: VV, VH"):
        await image_service.resolve(ImageRequest(SAFE, RenderParams(bands=("HV",))), 448, ANONYMOUS)
    both = RenderParams(bands=("VV", "VH"))
    store.objects[f"{SAFE}/{path}"] = measurement(digital_numbers(2, (100, 199)))
    with pytest.raises(UnsupportedImage, match="same size"):
        await resolve_and_render(image_service, ImageRequest(SAFE, both), 448, ANONYMOUS)
    for image in (geotiff(np.zeros((3, 100, 200), dtype=np.uint8)), encoded(np.zeros((100, 200), dtype=np.uint8))):
        store.objects[f"{SAFE}/{path}"] = image
        with pytest.raises(UnsupportedImage, match="one band"):
            await resolve_and_render(image_service, ImageRequest(SAFE, both), 448, ANONYMOUS)


async def test_without_control_points_only_windows_in_pixels_work(
    store: InMemoryStore, image_service: ImageService
) -> None:
    """A measurement without ground control points supports a window, but no bbox."""
    files = small_product({"iw-grd-vv": VV})
    path = next(path for path in files if "measurement" in path)
    store.put_folder(SAFE, files | {path: geotiff(VV)})
    _, rendered = await resolve_and_render(
        image_service, ImageRequest(SAFE, RenderParams(window=(0, 0, 50, 50))), 448, ANONYMOUS
    )
    assert (rendered.width, rendered.height) == (50, 50)
    with pytest.raises(BadRequest, match="isn't georeferenced"):
        await image_service.resolve(ImageRequest(SAFE, RenderParams(bbox=(4, 51.99, 4.01, 52))), 448, ANONYMOUS)
    store.put_folder(SAFE, files)
    bbox = (4.002, 51.994, 4.012, 51.998)
    resolved = await image_service.resolve(ImageRequest(SAFE, RenderParams(bbox=bbox)), 448, ANONYMOUS)
    assert resolved.render.window == (19, 20, 101, 43)


@pytest.mark.samples
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real radar samples are missing")
@pytest.mark.parametrize(("year", "cog"), [(2015, False), (2021, True)])
async def test_a_real_product_is_calibrated_as_by_scipy(
    store: InMemoryStore, threads: ImageThreads, year: int, cog: bool
) -> None:
    """Real manifest and annotation around simulated pixels, IPF 2.36 and 3.31: both polarizations agree with SciPy."""
    images = {"vv": digital_numbers(3, (300, 400)), "vh": digital_numbers(4, (300, 400))}
    archive = next(SAMPLES.glob(f"S1A_IW_GRDH_1SDV_{year}*.zip"))
    name, files = real_product(archive, images, cog=cog)
    folder = f"s3://scenes/{name}"
    store.put_folder(folder, files)
    window = Window(40, 30, 40, 30)
    rows, cols = window.row + np.arange(window.height), window.col + np.arange(window.width)
    for coefficient, field in GAINS.items():
        raster = await calibrated(store, threads, folder, bands=["VV", "VH"], window=window, calibration=coefficient)
        for plane, band in zip(raster.pixels, ("vv", "vh"), strict=True):
            text = {
                kind: next(data.decode() for path, data in files.items() if f"{kind}-s1a-iw-grd-{band}" in path)
                for kind in ("calibration", "noise")
            }
            gain = gridded(text["calibration"], "calibrationVectorList", field, rows, cols)
            noise = noise_by_scipy(text["noise"], rows, cols)
            power = images[band][rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].astype(float) ** 2
            np.testing.assert_allclose(plane, np.maximum(power - noise, noise / 10) / gain**2, rtol=2e-6)
