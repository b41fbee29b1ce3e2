"""Account SIDs and tokens."""
