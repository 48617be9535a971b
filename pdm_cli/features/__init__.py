"""Features of a row, computed from readings and events up to its time, and the labels."""
