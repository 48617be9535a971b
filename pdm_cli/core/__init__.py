"""Pure computation: arrays and frames in, arrays and frames out; no path, no clock, no print."""
