"""A raw request becomes the columns of a click: pure, named steps."""
