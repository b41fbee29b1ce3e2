"""Every metric this package exposes, in one object that the composition root makes."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

#: Finer below 5 ms than the usual buckets: a redirect is expected there.
_REDIRECT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
#: Up to beyond the usual limit of a call.
_CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0)


class Metrics:
    """Counters, gauges and histograms of one process.

    With ``PROMETHEUS_MULTIPROC_DIR`` set, the library keeps them in files and
    ``/metrics`` sums them over the node's processes. No label carries a partner,
    a program or an account: their number has no bound.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.registry = registry
        self.clicks_accepted = Counter(
            "clickledger_clicks_accepted",
            "Clicks made durable in the spool.",
            registry=registry,
        )
        self.clicks_unrecorded = Counter(
            "clickledger_clicks_unrecorded",
            "Visitors sent on without a click id because the spool could not be written.",
            registry=registry,
        )
        self.clicks_refused = Counter(
            "clickledger_clicks_refused",
            "Requests at tracking links that were not recorded, by reason.",
            ["reason"],
            registry=registry,
        )
        self.clicks_marked = Counter(
            "clickledger_clicks_marked",
            "Recorded clicks that the collector marked, by reason.",
            ["reason"],
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "clickledger_spool_commit_seconds",
            "Duration of one group commit, fsync included.",
            buckets=_REDIRECT_BUCKETS,
            registry=registry,
        )
        self.commits = Counter(
            "clickledger_spool_commits",
            "Group commits to the spool.",
            registry=registry,
        )
        self.spool_failures = Counter(
            "clickledger_spool_failures",
            "Group commits that failed.",
            registry=registry,
        )
        self.spool_waiting_clicks = Gauge(
            "clickledger_spool_waiting_clicks",
            "Clicks in the spool that are not in the lake yet.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self.loaded_clicks = Counter(
            "clickledger_lake_loaded_clicks",
            "Clicks committed to the lake.",
            registry=registry,
        )
        self.dead_letters = Counter(
            "clickledger_lake_dead_letters",
            "Clicks set aside as dead letters, by reason.",
            ["reason"],
            registry=registry,
        )
        self.load_seconds = Histogram(
            "clickledger_lake_load_seconds",
            "Duration of one load from spool to lake.",
            registry=registry,
        )
        self.lake_conflicts = Counter(
            "clickledger_lake_conflicts",
            "Commits to the lake refused because another writer was first.",
            registry=registry,
        )
        self.complete_through = Gauge(
            "clickledger_lake_complete_through_seconds",
            "Unix time through which the lake is complete.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self.mark_holders = Gauge(
            "clickledger_lake_dead_spools",
            "Spools of ended processes that still hold back the lake's mark.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self.jobs_finished = Counter(
            "clickledger_jobs_finished",
            "Runs of jobs that ended, by state.",
            ["state"],
            registry=registry,
        )
        self.postback_attempts = Counter(
            "clickledger_postback_attempts",
            "Calls of postback endpoints, by what they led to: delivered, to_retry, given_up.",
            ["outcome"],
            registry=registry,
        )
        self.postback_seconds = Histogram(
            "clickledger_postback_attempt_seconds",
            "Duration of calls of postback endpoints.",
            buckets=_CALL_BUCKETS,
            registry=registry,
        )
        self.postback_first_seconds = Histogram(
            "clickledger_postback_first_attempt_seconds",
            "From when a postback was due to its first attempt.",
            buckets=_CALL_BUCKETS,
            registry=registry,
        )
        self.postbacks_waiting = Gauge(
            "clickledger_postbacks_waiting",
            "Postbacks that wait for their first attempt or for a retry.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self.postbacks_overdue = Gauge(
            "clickledger_postbacks_overdue_seconds",
            "How long the postback that has been due the longest has waited since.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self.api_requests = Counter(
            "clickledger_api_requests",
            "Answers of the API, by status code.",
            ["status"],
            registry=registry,
        )
        self.api_seconds = Histogram(
            "clickledger_api_request_seconds",
            "Duration of API requests.",
            registry=registry,
        )
