"""A request for clicks becomes a plan, and the plan a file in CSV, JSON or XML."""
