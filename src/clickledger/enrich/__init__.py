"""Pure steps from the raw click to the columns of the lake: an ordered tuple of named steps."""
