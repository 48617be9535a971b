"""Convert CSV files to raw tables."""
