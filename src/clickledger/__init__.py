"""clickledger: the open, self-hosted system of record for partner clicks."""

__version__ = "0.1.0"
