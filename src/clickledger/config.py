"""Settings, read once by the composition root, and the layout of the data folder."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Role(StrEnum):
    """What a `serve` does."""

    ALL = "all"
    WEB = "web"
    COLLECTOR = "collector"
    WORKER = "worker"


class Settings(BaseSettings):
    """Everything an operator can set, by environment variable ``CLICKLEDGER_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="CLICKLEDGER_", extra="ignore", frozen=True)

    database_url: str = Field(
        default="",
        description="SQLAlchemy URL of the control database; empty: SQLite in the data folder.",
    )
    lake_url: str = Field(
        default="",
        description="Folder of the lake, a path or a file: URL; empty: `lake` in the data folder.",
    )
    public_url: str = Field(
        default="http://127.0.0.1:8080",
        description="What tracking links and signed download URLs start with; while it is not set, "
        "a download URL starts with what the caller itself used.",
    )
    trusted_proxies: list[IPv4Network | IPv6Network] = Field(
        default=[],
        description="JSON list of networks whose X-Forwarded-For and -Proto are believed.",
    )
    log_level: str = Field(default="info", description="debug, info, warning or error.")

    spool_segment_bytes: int = Field(
        default=64 * 1024 * 1024, ge=4096, description="A spool segment is closed at this size."
    )
    spool_segment_age_s: float = Field(
        default=600.0, gt=0, description="A spool segment is closed at this age, in seconds."
    )
    receipts_keep_days: int = Field(
        default=90, ge=1, description="Days that the receipt of a loaded batch is kept."
    )

    load_interval_s: float = Field(
        default=0.5, gt=0, description="Pause between two loads of the spool, in seconds."
    )
    load_batch_clicks: int = Field(
        default=50_000, ge=1, description="Most clicks in one commit to the lake."
    )
    compact_interval_s: float = Field(
        default=60.0, gt=0, description="Seconds between two compactions of small lake files."
    )
    close_day_after_s: float = Field(
        default=900.0,
        ge=0,
        description="Seconds after UTC midnight before a day counts as closed and is sorted.",
    )
    vacuum_interval_s: float = Field(
        default=3600.0, gt=0, description="Seconds between two removals of old lake files."
    )
    lake_retention_hours: int = Field(
        default=48,
        ge=1,
        le=48,
        description="Hours that old versions of the lake stay readable; its log keeps 48.",
    )

    export_wait_s: float = Field(
        default=60.0,
        ge=0,
        description="How long a run waits for the lake to be complete through its request.",
    )
    export_slice_rows: int = Field(
        default=250_000, ge=1, description="Rows that an export writes between two checkpoints."
    )
    export_parallel: int = Field(
        default=2, ge=1, description="Slices of one export that are written at a time."
    )
    csv_formula_guard: bool = Field(
        default=False,
        description="Prefix CSV cells that a spreadsheet would run as a formula with a quote mark.",
    )
    job_retry_s: float = Field(
        default=900.0, gt=0, description="Seconds before a job in ERROR is tried again."
    )
    job_tries: int = Field(default=5, ge=1, description="Tries before a job is FAILED.")
    result_keep_days: int = Field(
        default=90, ge=1, description="Days that the file of a finished job can be downloaded."
    )
    signed_url_ttl_s: int = Field(
        default=900, ge=1, description="Seconds that a signed download URL works."
    )
    api_body_bytes: int = Field(
        default=2 * 1024 * 1024, ge=1024, description="Largest request body the API accepts."
    )

    postback_networks: list[IPv4Network | IPv6Network] = Field(
        default=[],
        description="JSON list of private networks that postbacks may reach all the same.",
    )
    postback_ports: list[int] = Field(
        default=[80, 443], description="JSON list of the ports that postbacks may call."
    )
    postback_connect_s: float = Field(
        default=5.0, gt=0, description="Seconds that a postback waits for a connection."
    )
    postback_timeout_s: float = Field(
        default=15.0, gt=0, description="Seconds that a postback may take as a whole."
    )
    postback_keep_days: int = Field(
        default=30, ge=1, description="Days that deliveries and their attempts stay in the log."
    )
    postback_disable_days: float = Field(
        default=5.0,
        gt=0,
        description="Days of nothing but failures after which a notification is disabled.",
    )
    postback_secret_overlap_s: float = Field(
        default=86_400.0,
        ge=0,
        description="Seconds that the earlier secret signs too after a rotation.",
    )


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Where everything of one installation lies; ``--data DIR`` names ``root``."""

    root: Path

    @property
    def control_db(self) -> Path:
        """Default control database."""
        return self.root / "control.db"

    @property
    def workflows_db(self) -> Path:
        """State of the durable workflows."""
        return self.root / "workflows.db"

    @property
    def keys(self) -> Path:
        """Secrets of this folder, readable by the owner only."""
        return self.root / "keys.json"

    @property
    def directory_snapshot(self) -> Path:
        """What links mean, as the collectors last saw it."""
        return self.root / "directory.snapshot"

    @property
    def spool(self) -> Path:
        """One folder per spool, the receipts, and what was set aside."""
        return self.root / "spool"

    @property
    def lake(self) -> Path:
        """Default lake: the tables ``clicks`` and ``dead_letters``."""
        return self.root / "lake"

    @property
    def watermark(self) -> Path:
        """The instant through which the lake is complete."""
        return self.root / "watermark.json"

    @property
    def worker_status(self) -> Path:
        """What the worker process last said of itself."""
        return self.root / "worker.json"

    @property
    def results(self) -> Path:
        """Files that finished jobs wrote."""
        return self.root / "results"

    @property
    def tmp(self) -> Path:
        """Scratch space of the query engine; emptied at start."""
        return self.root / "tmp"

    @property
    def locks(self) -> Path:
        """Lock files: ``worker``, ``lake``."""
        return self.root / "locks"

    @property
    def metrics(self) -> Path:
        """Counters of this node's processes; emptied when `serve` starts."""
        return self.root / "metrics"


def lake_url(settings: Settings, folder: DataFolder) -> str:
    """Name the lake: the one that is set, else in the data folder."""
    return settings.lake_url or str(folder.lake)
