"""Migrations of the control database, run by ``clickledger.db.engine.migrate``."""
