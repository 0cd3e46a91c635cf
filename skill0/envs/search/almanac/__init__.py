"""The almanac: a small book of true facts whose arrangement has to be known, for policies of a million
parameters."""
