"""A small SICD file from sarkit: a plane grid, imaged from a straight track."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

import lxml.etree
import numpy as np
import sarkit.sicd
from numpy.typing import NDArray
from sarkit.wgs84 import geodetic_to_cartesian

LAT, LON, HEIGHT = 52.0, 4.0, 40.0
SPACING = 0.5
_POLYNOMIALS = {"sigma0": "SigmaZeroSFPoly", "beta0": "BetaZeroSFPoly", "gamma0": "GammaZeroSFPoly"}


def _xyz(name: str, point: NDArray[Any]) -> str:
    axes = "".join(f"<{axis}>{value:.12g}</{axis}>" for axis, value in zip("XYZ", point, strict=True))
    return f"<{name}>{axes}</{name}>"


def _polynomial(name: str, coefficients: NDArray[Any]) -> str:
    terms = "".join(
        f'<Coef exponent1="{row}" exponent2="{col}">{float(value)!r}</Coef>'
        for (row, col), value in np.ndenumerate(coefficients)
    )
    sides = f'order1="{coefficients.shape[0] - 1}" order2="{coefficients.shape[1] - 1}"'
    return f"<{name} {sides}>{terms}</{name}>"


def metadata(shape: tuple[int, int], pixel_type: str, factors: Mapping[str, NDArray[Any]], extra: str = "") -> Any:
    """Return the XML of an image of ``shape`` (rows, cols), centered at LAT, LON."""
    rows, cols = shape
    center = geodetic_to_cartesian([LAT, LON, HEIGHT])
    up = center / np.linalg.norm(center)
    east = np.cross([0, 0, 1], up)
    east /= np.linalg.norm(east)
    north = np.cross(up, east)
    arp, velocity = center + 500e3 * up - 400e3 * east, 7000.0 * north
    u_row = (center - arp) / np.linalg.norm(center - arp)
    u_col = north
    corners = "".join(
        f'<ICP index="{index}:{name}"><Lat>{LAT}</Lat><Lon>{LON}</Lon></ICP>'
        for index, name in enumerate(("FRFC", "FRLC", "LRLC", "LRFC"), start=1)
    )
    track = "".join(
        f'<{axis} order1="1"><Coef exponent1="0">{start:.12g}</Coef><Coef exponent1="1">{speed:.12g}</Coef></{axis}>'
        for axis, start, speed in zip("XYZ", arp, velocity, strict=True)
    )
    radiometric = "".join(_polynomial(_POLYNOMIALS[name], factor) for name, factor in factors.items())
    text = f"""<SICD xmlns="urn:SICD:1.4.0">
<CollectionInfo><CollectorName>made up</CollectorName><CoreName>x</CoreName><CollectType>MONOSTATIC</CollectType>
<RadarMode><ModeType>SPOTLIGHT</ModeType></RadarMode><Classification>UNCLASSIFIED</Classification></CollectionInfo>
<ImageData><PixelType>{pixel_type}</PixelType>{extra}<NumRows>{rows}</NumRows><NumCols>{cols}</NumCols><FirstRow>0</FirstRow>
<FirstCol>0</FirstCol><FullImage><NumRows>{rows}</NumRows><NumCols>{cols}</NumCols></FullImage>
<SCPPixel><Row>{rows // 2}</Row><Col>{cols // 2}</Col></SCPPixel></ImageData>
<GeoData><EarthModel>WGS_84</EarthModel><SCP>{_xyz("ECF", center)}<LLH><Lat>{LAT}</Lat><Lon>{LON}</Lon>
<HAE>{HEIGHT}</HAE></LLH></SCP><ImageCorners>{corners}</ImageCorners></GeoData>
<Grid><ImagePlane>SLANT</ImagePlane><Type>PLANE</Type>{_polynomial("TimeCOAPoly", np.zeros((1, 1)))}
<Row>{_xyz("UVectECF", u_row)}<SS>{SPACING}</SS></Row><Col>{_xyz("UVectECF", u_col)}<SS>{SPACING}</SS></Col></Grid>
<Timeline><CollectStart>2026-01-02T03:04:05Z</CollectStart><CollectDuration>1</CollectDuration></Timeline>
<Position><ARPPoly>{track}</ARPPoly></Position>
<ImageFormation><TxRcvPolarizationProc>V:V</TxRcvPolarizationProc><ImageFormAlgo>OTHER</ImageFormAlgo></ImageFormation>
<SCPCOA><SCPTime>0</SCPTime>{_xyz("ARPPos", arp)}{_xyz("ARPVel", velocity)}{_xyz("ARPAcc", np.zeros(3))}
<SideOfTrack>R</SideOfTrack><GrazeAng>50</GrazeAng></SCPCOA>
{f"<Radiometric>{radiometric}</Radiometric>" if radiometric else ""}</SICD>"""
    return lxml.etree.fromstring(text.encode()).getroottree()


def sicd(
    pixels: NDArray[Any],
    pixel_type: str = "RE32F_IM32F",
    factors: Mapping[str, NDArray[Any]] | None = None,
    extra: str = "",
) -> bytes:
    """Return a NITF file of pixels (row, col); ``factors`` are polynomial scale factors by coefficient."""
    shape = (pixels.shape[0], pixels.shape[1])
    nitf_metadata = sarkit.sicd.NitfMetadata(
        xmltree=metadata(shape, pixel_type, factors or {}, extra),
        file_header_part={"ostaid": "nowhere", "ftitle": "made up", "security": {"clas": "U"}},
        im_subheader_part={"isorce": "made up", "security": {"clas": "U"}},
        de_subheader_part={"security": {"clas": "U"}},
    )
    with tempfile.TemporaryFile() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the XML lacks elements that no test reads
        with sarkit.sicd.NitfWriter(file, nitf_metadata) as writer:
            writer.write_image(pixels.astype(sarkit.sicd.PIXEL_TYPES[pixel_type]["dtype"]))
        file.seek(0)
        return file.read()
