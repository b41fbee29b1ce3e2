"""``Download``, ``Manifest`` and the signed links: handing a result file over (impact-api 3.4)."""

import html
from collections.abc import AsyncGenerator, Generator, Mapping
from http import HTTPStatus
from pathlib import Path

from anyio import to_thread
from litestar import Response, get
from litestar.params import FromPath
from litestar.response import Stream

from clickledger.api import jobs
from clickledger.api.handling import (
    AccountRequest,
    AnyRequest,
    OpenRequest,
    call_of,
    respond,
    services,
)
from clickledger.api.manifests import document as manifest_document
from clickledger.api.openapi import Query, operation
from clickledger.api.origins import origin
from clickledger.api.representations import compress, select
from clickledger.api.requests import Parameters, Reader
from clickledger.clock import SECOND
from clickledger.errors import GoneError, NotFoundError
from clickledger.exports.results import Result
from clickledger.jobs.results import result_folder, run_folder

_CONDITIONS = ("accept-encoding", "if-none-match", "if-range", "range")
_NOT_READY = "The job: it is not completed, or runs again."
_PURGED = "The file was removed after its time; Replay makes it again."


@get(
    "/Jobs/{job_id:str}/Download",
    sync_to_thread=True,
    operation_id="downloadJob",
    summary="Download the result of a job",
    operation_class=operation(
        Query(
            name="Mode",
            choices=("Stream",),
            description="Stream: the file itself, instead of a redirect to a signed link.",
        ),
        answers={
            HTTPStatus.OK: "With Mode=Stream: the file. Ranges, If-None-Match and gzip work.",
            HTTPStatus.ACCEPTED: _NOT_READY,
            HTTPStatus.FOUND: "A link that needs no credentials and expires.",
            HTTPStatus.NOT_FOUND: "The account has no such job.",
            HTTPStatus.GONE: _PURGED,
        },
    ),
)
def download(request: AccountRequest, job_id: FromPath[str]) -> Response[bytes] | Stream:
    """Hand the file over, or the job while there is none."""
    work, call, caller = services(request.app), call_of(request), request.user
    stream = _wants_stream(call.parameters)
    job = jobs.find(work, caller, job_id)
    folder = result_folder(work.results, job)
    if folder is None:
        return respond(call, jobs.document(job, caller), HTTPStatus.ACCEPTED)
    result = _open(folder, job.id)
    if stream:
        return _send(request, result, "application/octet-stream")
    expires = work.now() // SECOND + work.settings.signed_url_ttl_s
    path = work.signed_urls.path(job.id, int(folder.name), expires)
    return _redirect(origin(request, work.settings) + path)


@get(
    "/Jobs/{job_id:str}/Manifest",
    sync_to_thread=True,
    operation_id="getJobManifest",
    summary="Say what a result file holds",
    operation_class=operation(
        answers={
            HTTPStatus.OK: "Parameters, bounds of the day, lake version, rows, bytes, SHA-256.",
            HTTPStatus.ACCEPTED: _NOT_READY,
            HTTPStatus.NOT_FOUND: "The account has no such job.",
            HTTPStatus.GONE: _PURGED,
        },
    ),
)
def manifest(request: AccountRequest, job_id: FromPath[str]) -> Response[bytes]:
    """Return the manifest of the newest result (ours)."""
    work, call, caller = services(request.app), call_of(request), request.user
    job = jobs.find(work, caller, job_id)
    folder = result_folder(work.results, job)
    if folder is None:
        return respond(call, jobs.document(job, caller), HTTPStatus.ACCEPTED)
    return respond(call, manifest_document(_open(folder, job.id).manifest))


@get(
    "/results/{job_id:str}/{run:str}/{expires:str}/{signature:str}",
    sync_to_thread=True,
    operation_id="fetchResult",
    summary="Fetch a result file by signed link",
    security=[{}],
    operation_class=operation(
        answers={
            HTTPStatus.OK: "The file. Ranges, If-None-Match and gzip work.",
            HTTPStatus.PARTIAL_CONTENT: "One range of the file.",
            HTTPStatus.FORBIDDEN: "The link was not made here, or has expired.",
            HTTPStatus.GONE: _PURGED,
        },
    ),
)
def fetch(
    request: OpenRequest,
    job_id: FromPath[str],
    run: FromPath[str],
    expires: FromPath[str],
    signature: FromPath[str],
) -> Response[bytes] | Stream:
    """Hand over the file of one run; the link is the permission."""
    work = services(request.app)
    work.signed_urls.check(job_id, run, expires, signature, work.now() / SECOND)
    # Signed, so these are an id and a run of ours, and safe as names of folders.
    result = _open(run_folder(work.results, job_id, int(run)), job_id)
    return _send(request, result, result.content_type)


def _wants_stream(parameters: Parameters) -> bool:
    reader = Reader(parameters)
    mode = reader.choice("Mode", {"STREAM": "Stream"})
    reader.finish()
    return mode is not None


def _open(folder: Path, job_id: str) -> Result:
    try:
        return Result.open(folder)
    except NotFoundError:
        raise GoneError(
            "This file has been removed after the time that results are kept. Replay the job to "
            f"make it again: PUT .../Jobs/{job_id}/Replay"
        ) from None


def _send(request: AnyRequest, result: Result, content_type: str) -> Response[bytes] | Stream:
    selection = select(
        size=result.size,
        sha256=result.sha256,
        request=_conditions(request),
        head=call_of(request).head,
    )
    headers = {
        **selection.headers,
        "Content-Type": content_type,
        "Content-Disposition": f'attachment; filename="{result.filename}"',
    }
    if selection.span is None or call_of(request).head:
        return Response(b"", status_code=selection.status, headers=headers)
    chunks = result.read(*selection.span)
    return Stream(
        in_threads(compress(chunks) if selection.gzip else chunks),
        status_code=selection.status,
        headers=headers,
        media_type=content_type,
    )


async def in_threads(chunks: Generator[bytes]) -> AsyncGenerator[bytes]:
    """Take one chunk after the other in a thread; close the file as soon as nobody wants more."""
    try:
        while (chunk := await to_thread.run_sync(next, chunks, None)) is not None:
            yield chunk
    finally:
        chunks.close()


def _conditions(request: AnyRequest) -> Mapping[str, str]:
    return {name: text for name in _CONDITIONS if (text := request.headers.get(name)) is not None}


def _redirect(url: str) -> Response[bytes]:
    """Redirect; the body holds the same link, for clients that look for it there."""
    link = html.escape(url)
    body = (
        "<!DOCTYPE html>\n<html><head><title>Found</title></head>"
        f'<body><p>The file is <a href="{link}">here</a>.</p></body></html>\n'
    )
    return Response(
        body.encode(),
        status_code=HTTPStatus.FOUND,
        headers={"Location": url, "Content-Type": "text/html; charset=UTF-8"},
    )
