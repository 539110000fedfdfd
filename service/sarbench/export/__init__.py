"""Export of a data set to the formats of evaluation harnesses and training tools."""
