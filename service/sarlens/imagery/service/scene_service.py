"""Scenes and their tiles: each header, stretch and tile is computed once, and cached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias

from sarlens.errors import NoValidPixels
from sarlens.imagery.core.bands import polarizations
from sarlens.imagery.core.cache import LRUCache, SingleFlight
from sarlens.imagery.core.image_threads import Bulkhead
from sarlens.imagery.core.object_reader import DecodeLimits
from sarlens.imagery.core.raster import RenderedImage
from sarlens.imagery.core.resolved_image import ResolvedImage
from sarlens.imagery.products.sentinel1_safe import annotation_urls
from sarlens.imagery.service.image_service import ImageService
from sarlens.types.caller import CallerPolicy
from sarlens.types.image_request import ImageRequest
from sarlens.types.render_params import Calibration
from sarlens.types.window import Looks

if TYPE_CHECKING:
    from sarlens.imagery.formats.image_header import Level
    from sarlens.imagery.render.speckle import Speckle
    from sarlens.imagery.scenes.appearance import Appearance
    from sarlens.imagery.scenes.measurements import MeasuredImage
    from sarlens.imagery.scenes.placement import Placement
    from sarlens.imagery.scenes.scene import Scene
    from sarlens.imagery.scenes.tile_matrix_set import TileIndex

TILE_REVISION = 1
"""Increase this number with every change of the pixels of tiles, so that no cache returns an outdated tile."""
_SceneKey: TypeAlias = tuple[str, float | None]
"""Version of an image, and the nodata value of the request."""
_PICTURE_SIDE = 448
"""Side of the picture of the whole scene that defines its stretch."""
_MAX_SCENES, _MAX_SPECKLES = 256, 4096
_MAX_APPEARANCE_BYTES = 64 * 2**20
"""Memory for the looks of scenes, with the quick-looks of those that have no overviews."""
_MAX_TILES, _MAX_TILES_PER_CLIENT = 64, 8
"""Tiles that are rendered at the same time."""


@dataclass(frozen=True, slots=True)
class OpenScene:
    """A scene that a request has opened."""

    resolved: ResolvedImage
    """The image, with render parameters for all of it."""
    scene: Scene
    """Its header and placements."""

    @property
    def polarizations(self) -> tuple[str, ...]:
        """Polarizations: those of the product, else of the STAC Item, else of the bands, else of the file's name."""
        source_image = self.resolved.source_image
        if source_image.polarizations:
            return source_image.polarizations
        if source_image.acquisition and source_image.acquisition.polarizations:
            return source_image.acquisition.polarizations
        named = [name for name in self.bands if polarizations(name) == [name.upper()]]
        if not named and len(self.bands) == 1:
            named = polarizations(source_image.name.rpartition("/")[2].replace("_", "-"))[:1]
        return tuple(name.upper() for name in named)

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that a request can select."""
        source_image = self.resolved.source_image
        return source_image.polarizations or source_image.bands or self.scene.header.bands

    @property
    def calibrations(self) -> tuple[Calibration, ...]:
        """Possible values of ``calibration``."""
        location = self.resolved.location
        is_product = self.resolved.source_image.polarizations or (
            isinstance(location, str) and annotation_urls(location)
        )
        names = ("sigma0", "beta0", "gamma0") if is_product else self.scene.header.calibrations
        return ("none", *names)

    def tile_id(self, tms_id: str, tile: TileIndex) -> str:
        """Return the id of a tile: 64 hexadecimal digits. Equal ids have equal pixels."""
        name = f"{self.resolved.id}\n{TILE_REVISION}\n{tms_id}/{'/'.join(map(str, tile))}"
        return sha256(name.encode()).hexdigest()


class SceneService:
    """Opens scenes and renders their tiles; concurrent requests for one tile share the work.

    Args:
        images: service that resolves images and runs their reads.
        cache: cache of rendered images and tiles.
        limits: limits of what is decoded.
    """

    def __init__(self, images: ImageService, cache: LRUCache[str, RenderedImage], limits: DecodeLimits) -> None:
        self._images = images
        self._tiles = cache
        self._limits = limits
        self._scenes: LRUCache[_SceneKey, Scene] = LRUCache(_MAX_SCENES, getsizeof=lambda _: 1)
        self._appearances: LRUCache[str, Appearance] = LRUCache(
            _MAX_APPEARANCE_BYTES, getsizeof=lambda appearance: appearance.nbytes
        )
        self._blank: LRUCache[str, str] = LRUCache(_MAX_SCENES, getsizeof=lambda _: 1)
        self._speckles: LRUCache[tuple[str, int | None, Looks], tuple[Speckle, ...]] = LRUCache(
            _MAX_SPECKLES, getsizeof=lambda _: 1
        )
        self._scene_flights: SingleFlight[_SceneKey, Scene] = SingleFlight()
        self._appearance_flights: SingleFlight[str, Appearance] = SingleFlight()
        self._tile_flights: SingleFlight[str, RenderedImage] = SingleFlight()
        self._bulkhead = Bulkhead(_MAX_TILES, _MAX_TILES_PER_CLIENT)

    async def open(self, image_request: ImageRequest, policy: CallerPolicy, *, any_swath: bool = False) -> OpenScene:
        """Open an image and read its header.

        With ``any_swath``, the first swath of a product that has several if none is named.

        Raises:
            SarlensError: the image can't be opened, or its header can't be read.
        """
        resolved = await self._images.resolve(image_request, _PICTURE_SIDE, policy, any_swath=any_swath)
        key = resolved.source_image.version, resolved.render.nodata
        scene = self._scenes.get(key)
        if scene is None:
            scene = await self._scene_flights.run(key, lambda: self._read_scene(resolved))
            self._scenes.put(key, scene)
        return OpenScene(resolved, scene)

    async def _read_scene(self, resolved: ResolvedImage) -> Scene:

        def read() -> Scene:
            from sarlens.imagery.scenes.scene import read_scene  # noqa: PLC0415  loads GDAL

            return read_scene(resolved.source_image, self._limits, resolved.render.nodata)

        return await self._images.read(resolved, "decode", read)

    async def looks(self, opened: OpenScene, policy: CallerPolicy) -> tuple[int, int] | None:
        """Return the looks of a product's image, as ``ImageService.looks``."""
        return await self._images.looks(opened.resolved, policy)

    async def placement(self, opened: OpenScene, tms_id: str) -> Placement:
        """Return the placement of a scene in a tile matrix set; raises as ``Scene.placement``."""
        placements = opened.scene.placements  # computed with the scene
        if tms_id in placements:
            return placements[tms_id]
        return await self._images.read(opened.resolved, "decode", partial(opened.scene.placement, tms_id))

    async def tile(self, opened: OpenScene, tms_id: str, tile: TileIndex, client: str) -> RenderedImage:
        """Render a tile, or return it from the cache.

        Args:
            opened: the scene.
            tms_id: id of a tile matrix set.
            tile: the tile.
            client: name of the caller, who has a share of the tiles that are rendered at the same time.

        Raises:
            NotGeoreferenced, NotFound, BadRequest: the tile matrix set doesn't fit the scene, or has no such tile.
            SarlensError: the image can't be read or rendered.
        """
        tile_id = opened.tile_id(tms_id, tile)
        rendered = self._tiles.get(tile_id)
        self._images.record_cache_lookup(hit=rendered is not None)
        if rendered is not None:
            return rendered
        async with self._slot(client):
            return await self._tile_flights.run(tile_id, lambda: self._render_tile(tile_id, opened, tms_id, tile))

    @asynccontextmanager
    async def _slot(self, client: str) -> AsyncIterator[None]:
        await self._bulkhead.acquire(client)
        try:
            yield
        finally:
            self._bulkhead.release(client)

    async def _render_tile(self, tile_id: str, opened: OpenScene, tms_id: str, tile: TileIndex) -> RenderedImage:
        from sarlens.imagery.scenes.tile_renderer import TileSource, render_tile  # noqa: PLC0415  loads GDAL

        resolved = opened.resolved
        placement = await self.placement(opened, tms_id)
        if not placement.overlaps(tile):
            return await self._images.read(resolved, "render", _empty_tile)
        appearance = await self._appearance(opened)
        calibrator = await self._images.calibrator(resolved)

        def get_speckle(level: Level, looks: Looks) -> tuple[Speckle, ...]:
            from sarlens.imagery.scenes.appearance import measure_speckle  # noqa: PLC0415

            key = (resolved.id, level.overview, looks)
            speckle = self._speckles.get(key)
            if speckle is None:
                speckle = measure_speckle(
                    source.source_image, appearance.params, level, looks, calibrator, self._limits
                )
                self._speckles.put(key, speckle)
            return speckle

        header = opened.scene.header
        source = TileSource(resolved.source_image, header, appearance, calibrator, get_speckle, self._limits)
        rendered = await self._images.read(resolved, "render", partial(render_tile, source, placement, tile))
        self._tiles.put(tile_id, rendered)
        return rendered

    async def statistics(self, opened: OpenScene, window: tuple[int, int, int, int] | None) -> dict[str, Any]:
        """Measure a window; raises as ``measure_window``."""
        from sarlens.imagery.scenes.measurements import measure_window  # noqa: PLC0415  loads GDAL

        image = await self._measured_image(opened)
        return await self._images.read(opened.resolved, "decode", partial(measure_window, image, window))

    async def pixel(self, opened: OpenScene, col: int, row: int) -> list[dict[str, Any]]:
        """Measure a pixel; raises as ``measure_pixel``."""
        from sarlens.imagery.scenes.measurements import measure_pixel  # noqa: PLC0415  loads GDAL

        image = await self._measured_image(opened)
        return await self._images.read(opened.resolved, "decode", partial(measure_pixel, image, col, row))

    async def locate(self, opened: OpenScene, lon: float, lat: float) -> tuple[float, float]:
        """Return the column and the row of a position on the ground; raises as ``Scene.locate``."""
        return await self._images.read(opened.resolved, "decode", partial(opened.scene.locate, lon, lat))

    async def position_of(self, opened: OpenScene, col: float, row: float) -> tuple[float, float] | None:
        """Return longitude and latitude of a position in the image, or None; raises as ``Scene.position_of``."""
        return await self._images.read(opened.resolved, "decode", partial(opened.scene.position_of, col, row))

    async def _measured_image(self, opened: OpenScene) -> MeasuredImage:
        from sarlens.imagery.scenes.measurements import MeasuredImage  # noqa: PLC0415

        resolved = opened.resolved
        params, calibrator = (await self._appearance(opened)).params, await self._images.calibrator(resolved)
        return MeasuredImage(resolved.source_image, opened.scene.header, params, calibrator, self._limits)

    async def _appearance(self, opened: OpenScene) -> Appearance:
        image_id = opened.resolved.id
        if reason := self._blank.get(image_id):
            raise NoValidPixels(reason)
        return self._appearances.get(image_id) or await self._appearance_flights.run(
            image_id, lambda: self._measure(opened)
        )

    async def _measure(self, opened: OpenScene) -> Appearance:
        from sarlens.imagery.scenes.appearance import measure_appearance  # noqa: PLC0415  loads GDAL

        resolved = opened.resolved
        calibrator = await self._images.calibrator(resolved)
        measure = partial(
            measure_appearance, resolved.source_image, opened.scene, resolved.render, calibrator, self._limits
        )
        try:
            appearance = await self._images.read(resolved, "decode", measure)
        except NoValidPixels as error:  # so that each tile of such a scene doesn't measure it again
            self._blank.put(resolved.id, error.message)
            raise
        self._appearances.put(resolved.id, appearance)
        return appearance


def _empty_tile() -> RenderedImage:
    from sarlens.imagery.scenes.tile_renderer import empty_tile  # noqa: PLC0415

    return empty_tile()
