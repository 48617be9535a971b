"""Files: Parquet tables, raw and imported tables, output folders, manifests and model bundles."""
