"""Report of runs and their scores as one self-contained HTML page."""
