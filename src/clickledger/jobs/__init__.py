"""The Job: states, identity, progress, retry, replay."""
