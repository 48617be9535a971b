"""The only printers: results to stdout, everything else to stderr."""
