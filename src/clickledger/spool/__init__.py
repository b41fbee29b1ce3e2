"""The durable append-only log between collector and loader; README.md is its specification."""
