"""File formats of an export, one file each; ``registry`` lists them."""
