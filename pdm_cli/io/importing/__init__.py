"""CSV files to raw tables."""
