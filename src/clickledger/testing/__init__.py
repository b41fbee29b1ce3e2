"""A real server to test against: your integration's tests, and our own, start it from here."""
