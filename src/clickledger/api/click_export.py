"""``ClickExport``: ask for one day of one program as a file (impact-api 2.4)."""

import difflib
from datetime import date
from http import HTTPStatus

from litestar import Response, get
from litestar.openapi.spec import OpenAPIType
from litestar.params import FromPath

from clickledger.api.handling import AccountRequest, call_of, respond, services
from clickledger.api.openapi import Query, operation
from clickledger.api.render import Answer
from clickledger.api.requests import Parameters, Reader, require_id, shown
from clickledger.clock import Micros
from clickledger.exports.model import ClickExportRequest, ResultFormat
from clickledger.jobs.rules import job_path
from clickledger.lake.schema import EXTRA_COLUMNS
from clickledger.programs.days import today
from clickledger.programs.model import Program

_FORMATS = {form.value: form.value for form in ResultFormat}
#: Of a name that is compared with the known ones.
_LONGEST = 64
_COLUMNS = {column.name.lower(): column.name for column in EXTRA_COLUMNS}

_QUERIES = (
    Query(
        name="Date",
        description="One day of the program's time zone, yyyy-mm-dd; default its today. Before "
        "1970 or in the future is 400: the answer to an early question would stay frozen.",
    ),
    Query(
        name="AdId",
        type=OpenAPIType.INTEGER,
        repeatable=True,
        description="Only clicks of these ads; default all.",
    ),
    Query(
        name="MediaId",
        type=OpenAPIType.INTEGER,
        repeatable=True,
        description="Only clicks of these partners; default all.",
    ),
    Query(
        name="UniqueClick",
        description="true: only unique clicks; false: only repeats; in any case. Default both.",
    ),
    Query(name="ResultFormat", choices=tuple(_FORMATS), description="Default CSV; in any case."),
    Query(
        name="Columns",
        repeatable=True,
        choices=tuple(_COLUMNS.values()),
        description="Ours: columns to add after the 42, in this order; separated by commas or "
        "repeated.",
    ),
)


@get(
    "/Programs/{program_id:str}/ClickExport",
    sync_to_thread=True,
    operation_id="scheduleClickExport",
    summary="Schedule an export of one day's clicks",
    operation_class=operation(
        *_QUERIES,
        answers={
            HTTPStatus.OK: "The job: its Status, QueuedUri, ResultUri and ReplayUri.",
            HTTPStatus.BAD_REQUEST: "A parameter is wrong; Errors names each.",
            HTTPStatus.NOT_FOUND: "The account has no such program.",
        },
    ),
)
def schedule_click_export(request: AccountRequest, program_id: FromPath[str]) -> Response[bytes]:
    """Schedule an export, or find the earlier one.

    The same parameters, in any order and however repeated, name the same job: the answer then
    tells its present status. Of a parameter that is repeated where one value is meant, the
    first counts. To see clicks that came later, replay the job.
    """
    work, call, caller = services(request.app), call_of(request), request.user
    program = work.programs.get_program(caller.sid, require_id("ProgramId", program_id))
    job = work.jobs.schedule(read_request(call.parameters, program, work.now()))
    path = job_path(caller.sid, job.id)
    return respond(
        call,
        Answer(
            {
                "Status": job.state.value,
                "QueuedUri": path,
                "ResultUri": f"{path}/Download",
                "ReplayUri": f"{path}/Replay",
            }
        ),
    )


def read_request(parameters: Parameters, program: Program, now: Micros) -> ClickExportRequest:
    """Turn parameters into a normalised request.

    Raises:
        InvalidInputError: some are wrong; names each.
    """
    reader = Reader(parameters)
    form = reader.choice("ResultFormat", _FORMATS)
    export = ClickExportRequest(
        account_sid=program.advertiser_sid,
        program_id=program.id,
        date=_read_date(reader, program, now),
        time_zone=program.time_zone,
        ad_ids=reader.ids("AdId"),
        media_ids=reader.ids("MediaId"),
        unique_click=reader.flag("UniqueClick"),
        result_format=ResultFormat(form or ResultFormat.CSV),
        columns=_read_columns(reader, parameters.all("Columns")),
    )
    reader.finish()
    return export


def _read_date(reader: Reader, program: Program, now: Micros) -> date:
    current = today(program.time_zone, now)
    day = reader.day("Date")
    if day is None:
        return current
    if day > current:
        reader.refuse(
            "Date", f"{day} is in the future: it is {current} in the program's {program.time_zone}"
        )
    return day


def _read_columns(reader: Reader, texts: list[str]) -> tuple[str, ...]:
    """Read names of extra columns, each once, in the caller's order: it is the file's."""
    wanted = dict.fromkeys(
        name for text in texts for one in text.split(",") if (name := one.strip())
    )
    found: dict[str, None] = {}
    for name in wanted:
        if (known := _COLUMNS.get(name.lower())) is None:
            (near,) = difflib.get_close_matches(name[:_LONGEST].lower(), _COLUMNS, n=1, cutoff=0.0)
            reader.refuse(
                "Columns",
                f"{shown(name)} is no extra column; the nearest is {_COLUMNS[near]}, all are "
                f"{', '.join(_COLUMNS.values())}",
            )
            break
        found[known] = None
    return tuple(found)
