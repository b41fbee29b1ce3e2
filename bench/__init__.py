"""The figures behind every claim of speed or size: ``make bench``."""
