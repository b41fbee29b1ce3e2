"""The Delta table of clicks: schema, loader, maintenance, and the queries over it."""
