"""The unique rule: which clicks repeat an earlier one (rolling window of 30 minutes).

Click B repeats an earlier click A of the same program when t(B) - t(A) < W and either B carried a
profile equal to A's, or B carried none and the two visitor hashes are equal. Exactly W apart is
unique; clicks of equal time are in the order of their row key. Only the last such A matters.

One text for closing a day and for exporting an open one, so that both say the same.
"""

from clickledger.clock import MINUTE, Micros

#: W.
WINDOW: Micros = 30 * MINUTE

#: Columns that the rule reads.
COLUMNS = (
    "program_id",
    "event_time",
    "spool_id",
    "sequence",
    "position",
    "profile_id",
    "profile_carried",
    "visitor",
)


def unique_sql(source: str, since: Micros) -> str:
    """Return a query: the rows of ``source`` from ``since`` on, with a column ``unique_click``.

    ``source`` is a relation (a name, or a query in brackets) with at least ``COLUMNS``, without
    ``unique_click``, and with every click of its programs from ``since - WINDOW`` on: the rule
    needs them although they do not come out. The order of the result is not defined.
    """
    return (
        f"SELECT * FROM (SELECT source.*, CASE"
        f" WHEN profile_carried THEN {_far_from_last('profile_id')}"
        f" WHEN visitor IS NULL THEN TRUE"
        f" ELSE {_far_from_last('visitor')}"
        f" END AS unique_click FROM {source} AS source) AS judged"
        f" WHERE epoch_us(event_time) >= {since:d}"
    )


def _far_from_last(same: str) -> str:
    """Tell whether the last click with the same value lies outside of the window."""
    return (
        f"COALESCE(epoch_us(event_time) - LAG(epoch_us(event_time)) OVER ("
        f"PARTITION BY program_id, {same} ORDER BY event_time, spool_id, sequence, position"
        f") >= {WINDOW:d}, TRUE)"
    )
