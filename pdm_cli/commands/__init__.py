"""One file a sub-command: read, compute, write, tell."""
