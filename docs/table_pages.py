"""Reference pages that are tables: settings, metrics, columns, errors."""

import json
from collections.abc import Iterator

import pyarrow as pa
from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined

from clickledger.config import Settings
from clickledger.enrich import pipeline
from clickledger.errors import ClickledgerError
from clickledger.lake.schema import (
    CLICKS,
    DEAD_LETTERS,
    EXPORT_COLUMNS,
    EXTRA_COLUMNS,
    STATISTICS_COLUMNS,
    ExportColumn,
)
from clickledger.metrics import Metrics
from docs import cli_page, meanings
from docs.markdown import code, table


def settings() -> str:
    """Make ``settings.md``."""
    prefix = Settings.model_config.get("env_prefix", "")
    rows = [
        (code(prefix + name.upper()), _type(name), _default(name), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return _SETTINGS + table(("Variable", "Type", "Default", "Meaning"), rows)


def metric_objects() -> Iterator[MetricWrapperBase]:
    """Yield every metric in the order of its declaration."""
    for value in vars(Metrics()).values():
        if isinstance(value, MetricWrapperBase):
            yield value


def metrics() -> str:
    """Make ``metrics.md``."""
    rows = []
    for metric in metric_objects():
        (described,) = metric.describe()
        name = described.name + ("_total" if described.type == "counter" else "")
        labels = ", ".join(code(label) for label in metric._labelnames)  # noqa: SLF001 - shown nowhere else
        rows.append((code(name), described.type, labels, described.documentation))
    return _METRICS + table(("Metric", "Kind", "Labels", "Meaning"), rows)


def export_columns() -> str:
    """Make ``export-columns.md``."""
    return (
        _EXPORT_COLUMNS
        + _numbered(EXPORT_COLUMNS)
        + _EXTRA_COLUMNS
        + table(("Column", "Type", "Meaning"), [_column(one) for one in EXTRA_COLUMNS])
    )


def lake_tables() -> str:
    """Make ``lake-tables.md``."""
    exported = {one.source: one.name for one in (*EXPORT_COLUMNS, *EXTRA_COLUMNS)}
    clicks = [
        (
            code(field.name),
            _arrow(field.type),
            "" if field.nullable else "always",
            code(exported.get(field.name, "")),
            meanings.CLICKS[field.name],
        )
        for field in CLICKS
    ]
    dead = [
        (
            code(field.name),
            _arrow(field.type),
            "" if field.nullable else "always",
            meanings.DEAD_LETTERS[field.name],
        )
        for field in DEAD_LETTERS
    ]
    statistics = ", ".join(code(name) for name in STATISTICS_COLUMNS)
    return (
        _LAKE_TABLES.format(statistics=statistics)
        + table(("Column", "Type", "Present", "Exported as", "Meaning"), clicks)
        + _DEAD_LETTERS
        + table(("Column", "Type", "Present", "Meaning"), dead)
        + _REASONS
        + table(("Reason", "Because"), _reasons())
    )


def _reasons() -> Iterator[tuple[str, str]]:
    for reason, meaning in meanings.DEAD_LETTER_REASONS.items():
        yield code(reason), meaning
    for step in pipeline.STEPS:
        yield code(f"step_{step.name}"), f"The click broke the enrichment step `{step.name}`."


def error_classes() -> list[type[ClickledgerError]]:
    """Return every error of the package, a class before those below it."""

    def below(parent: type[ClickledgerError]) -> Iterator[type[ClickledgerError]]:
        for child in sorted(
            parent.__subclasses__(), key=lambda one: (one.http_status, one.__name__)
        ):
            if child.__module__.startswith("clickledger."):
                yield child
                yield from below(child)

    # The commands import every part: after them, every error class is known.
    list(cli_page.commands())
    return [ClickledgerError, *below(ClickledgerError)]


def errors() -> str:
    """Make ``errors.md``."""
    rows = []
    for one in error_classes():
        depth = len(one.__mro__) - len(ClickledgerError.__mro__)
        sentence = (one.__doc__ or "").partition("\n")[0].replace("``", "`")
        indent = "&emsp;" * depth
        rows.append((indent + code(one.__name__), str(one.http_status), sentence))
    return _ERRORS + table(("Error", "HTTP status", "Meaning"), rows)


def _type(name: str) -> str:
    schema = Settings.model_json_schema()["properties"][name]
    kind: str = schema["type"]
    if "minimum" in schema:
        return f"{kind}, at least {schema['minimum']:g}"
    if "exclusiveMinimum" in schema:
        return f"{kind}, above {schema['exclusiveMinimum']:g}"
    return "JSON list" if kind == "array" else kind


def _default(name: str) -> str:
    value = Settings.model_fields[name].default
    if value is PydanticUndefined:
        return "required"
    return code(value if isinstance(value, str) else json.dumps(value))


def _numbered(columns: tuple[ExportColumn, ...]) -> str:
    rows = [(str(number), *_column(one)) for number, one in enumerate(columns, 1)]
    return table(("#", "Column", "Type", "Meaning"), rows)


def _column(column: ExportColumn) -> tuple[str, str, str]:
    if column.source in CLICKS.names:
        kind = _arrow(CLICKS.field(column.source).type)
    else:
        kind = meanings.DERIVED_TYPES[column.source]
    return code(column.name), kind, meanings.CLICKS[column.source]


def _arrow(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "time"
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_list(kind):
        return "list of text"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    names = {"string": "text", "binary": "bytes", "bool": "true or false"}
    return names.get(str(kind), "integer" if pa.types.is_integer(kind) else str(kind))


_SETTINGS = """\
# Settings

Settings come from environment variables and are read once, when a process starts.
Booleans are `true` or `false`; a list is a JSON list.
The data folder is not among them: `--data DIR` or `CLICKLEDGER_DATA` names it.

"""

_METRICS = """\
# Metrics

`GET /metrics` answers in the Prometheus text format, summed over the processes of one node.
No label names a partner, a program or an account: their number has no bound.

"""

_EXPORT_COLUMNS = """\
# Columns of a click export

A CSV file has exactly these columns in this order; JSON and XML carry the same names and values.
Address columns by name: a later version of the wire may add some at the end.
A value that a click did not bring is an empty cell.

"""

_EXTRA_COLUMNS = """\

## Extra columns

`Columns=RowKey,Reasons` and so on add these after the 42; they are ours and no part of the wire.

"""

_LAKE_TABLES = """\
# Tables of the lake

The lake is two Delta Lake tables; see [reading the lake](../how-to/read-the-lake.md).
Text that a click did not bring is null, never empty.
The table's log keeps minima and maxima of {statistics} only, so that it holds no personal data.

## `clicks`

One row per click, partitioned by `event_date`.
The row key is (`spool_id`, `sequence`, `position`).

"""

_DEAD_LETTERS = """\

## `dead_letters`

What could not be loaded, with its bytes and the reason.

"""

_REASONS = """\

### Reasons

The same words label `clickledger_lake_dead_letters_total`.

"""

_ERRORS = """\
# Errors

Everything the package raises on purpose, and the status the API answers with.
A command tells the same error in one line and exits with code 1.
The body of an API error is described in [the API's own page](api.md#errors).

"""
