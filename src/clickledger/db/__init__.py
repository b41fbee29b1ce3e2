"""The control database: tables and migrations."""
