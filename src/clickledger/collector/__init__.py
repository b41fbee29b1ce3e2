"""The hot path: parse, look up, append, answer."""
