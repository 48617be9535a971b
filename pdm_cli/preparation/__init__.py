"""Raw tables to clean ones on a regular grid, and what was found in them."""
