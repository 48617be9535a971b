"""HTML reports: pages, plots and provenance."""
