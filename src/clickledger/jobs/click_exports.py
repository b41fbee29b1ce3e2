"""What jobs ask of the lake and of the exports, answered by the real ones."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from clickledger.clock import Micros
from clickledger.config import DataFolder, Settings
from clickledger.exports import manifest as manifests
from clickledger.exports import model
from clickledger.exports import plan as plans
from clickledger.exports import work as exports
from clickledger.jobs.model import ClickExportRequest, SliceDone
from clickledger.jobs.steps import Prepared, Size
from clickledger.lake import watermark
from clickledger.lake.store import Lake


class ClickExporter:
    """Exports clicks of one lake.

    ``hides_sub_ids``: tells of a program (account SID, id) whether its exports leave SubId1 to
    SubId3 empty. ``held_by``: names what holds the lake's mark back, for people.
    """

    def __init__(
        self,
        *,
        lake: Lake,
        folder: DataFolder,
        settings: Settings,
        hides_sub_ids: Callable[[str, int], bool],
        held_by: Callable[[], str],
    ) -> None:
        self._lake = lake
        self._folder = folder
        self._settings = settings
        self._hides_sub_ids = hides_sub_ids
        self._held_by = held_by

    def complete_through(self) -> Micros | None:
        """Read the lake's mark; None: nothing is known yet."""
        return watermark.read(self._folder.watermark)

    def held_by(self) -> str:
        """Name what holds the mark back, for people."""
        return self._held_by()

    def prepare(
        self, request: ClickExportRequest, complete_through: Micros, replaces: int | None
    ) -> Prepared:
        """Plan the export over the newest version; ``replaces``: a pinned one that is gone."""
        plan = plans.make_plan(
            self._lake.snapshot(),
            request,
            complete_through=complete_through,
            hide_sub_ids=self._hides_sub_ids(request.account_sid, request.program_id),
            formula_guard=self._settings.csv_formula_guard,
            slice_rows=self._settings.export_slice_rows,
            replaces=replaces,
            scratch=self._folder.tmp,
        )
        return Prepared(lake_version=plan.lake_version, plan=msgspec.to_builtins(plan))

    def size(self, plan: Mapping[str, object]) -> Size:
        """Tell how much the plan expects to write."""
        made = _plan(plan)
        return Size(rows=made.rows, slices=len(made.slices))

    def run(
        self,
        plan: Mapping[str, object],
        finished: Sequence[SliceDone],
        folder: Path,
        on_slice: Callable[[SliceDone], None],
        cancelled: Callable[[], bool],
    ) -> int | None:
        """Write what is unfinished, the manifest last; return all rows, None: cancelled."""
        manifest = exports.run(
            _plan(plan),
            finished,
            folder,
            on_slice,
            cancelled,
            scratch=self._folder.tmp,
            parallel=self._settings.export_parallel,
        )
        return None if manifest is None else manifest.rows

    def sha256(self, folder: Path) -> str:
        """Tell the checksum of the whole result in this folder, in hexadecimal."""
        return manifests.read(folder).sha256


def _plan(plan: Mapping[str, object]) -> model.Plan:
    return msgspec.convert(plan, model.Plan)
