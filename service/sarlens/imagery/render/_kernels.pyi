from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarlens.imagery.core.box_sums import Plane

def refined_lee(
    power: Plane, valid: NDArray[Any] | None, out: Plane, rows: int, cols: int, mean: float, looks: float, /
) -> None: ...
def lee(
    power: Plane, valid: NDArray[Any] | None, out: Plane, rows: int, cols: int, mean: float, looks: float, /
) -> None: ...
def frost(
    power: Plane, valid: NDArray[Any] | None, out: Plane, rows: int, cols: int, mean: float, looks: float, /
) -> None: ...
def gamma_map(
    power: Plane, valid: NDArray[Any] | None, out: Plane, rows: int, cols: int, mean: float, looks: float, /
) -> None: ...
def scale_to_8_bits(band: Plane, out: NDArray[Any], black: float, factor: float, /) -> None: ...
def relative_variances(
    power: Plane, valid: NDArray[Any] | None, out: NDArray[Any], rows: int, cols: int, mean: float, looks: float, /
) -> None: ...
def values_between(
    values: NDArray[np.float32], out: NDArray[np.float32], low: float, high: float, /
) -> tuple[int, int]: ...
