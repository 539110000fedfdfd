"""HTML and SVG building blocks of the report page."""
