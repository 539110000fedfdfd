"""Words that the strict rule takes for the same thing; the first of each group stands for the others."""

from __future__ import annotations

SYNONYMS: tuple[tuple[str, ...], ...] = (
    # These four pairs are the examples that the authors give their judge.
    ("soccer", "football", "soccer field", "football field"),
    ("playground", "ground track field"),
    ("building", "rooftop"),
    ("swimming pool", "pond", "pool"),
    ("aircraft", "airplane", "aeroplane", "plane", "airliner"),
    ("ship", "vessel", "boat"),
    ("car", "vehicle", "automobile"),
    ("tank", "storage tank", "oil tank", "fuel tank"),
    ("harbor", "harbour", "port", "seaport"),
    ("center", "centre", "middle", "central"),
    ("top", "upper"),
    ("bottom", "lower"),
    ("road", "street"),
    ("forest", "woodland", "woods"),
    ("farmland", "agricultural field", "agricultural land", "cropland", "farm", "farm field", "agricultural"),
    ("grass", "grassland"),
    ("water", "body of water", "water body"),
    ("parking area", "parking lot", "car park", "parking"),
    ("residential", "residential area", "housing"),
    ("industrial", "industrial area", "industrial zone"),
    ("commercial", "commercial area"),
    ("urban", "urban area", "city"),
    ("rectangular", "rectangle"),
    ("circular", "circle", "round"),
    ("triangular", "triangle"),
    ("grid", "grid pattern", "grid like", "grid layout"),
)
