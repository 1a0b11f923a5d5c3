"""One file per figure: arrays in, a matplotlib Figure out, and the caption that belongs to it."""
