"""The set of macros: what the field documents is there, and what is unknown gets the nearest."""

import json

import pytest

from clickledger.lake import schema
from clickledger.postbacks.macros import CLICK_COLUMNS, DIGEST, MACROS, nearest, samples
from clickledger.postbacks.model import CLICK_DIGEST, EVENTS, Kind

#: impact-api 4.3, and the dates it leaves open.
ACTION = frozenset({
    "CampaignId", "CampaignName", "ActionTrackerId", "ActionTrackerName", "MediaPartnerId",
    "MediaPartnerName", "AdId", "ActionId", "ActionType", "Status", "StatusDetail",
    "ReferringType", "Payout", "DeltaPayout", "IntendedPayout", "Amount", "DeltaAmount",
    "IntendedAmount", "Currency", "OriginalCurrency", "OriginalAmount", "EventDate",
    "CreationDate", "LockingDate", "ReferringDate", "ClearedDate", "SubId1", "SubId2", "SubId3",
    "SharedId", "RefClickId", "LandingPageUrl", "Items",
})  # fmt: skip
JOB = frozenset({
    "JobId", "JobType", "Status", "StatusMessage", "ProgramId", "Date", "RecordsProcessed",
    "QueuedUri", "ResultUri", "Sha256", "Run", "Replayed", "EventDate",
})  # fmt: skip
COMMON = {"EventType", "MessageId", "EventDate"}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Kind.ACTION_LIFECYCLE, ACTION),
        (Kind.ACTION_CLEARING, ACTION),
        (Kind.EVENT_TYPE, ACTION),
        (Kind.JOB_COMPLETION, JOB),
        (Kind.CLICK, frozenset(CLICK_COLUMNS)),
    ],
)
def test_a_kind_offers_exactly_its_macros(kind: Kind, names: frozenset[str]) -> None:
    assert set(MACROS[kind]) == names | COMMON


@pytest.mark.parametrize("kind", [Kind.ACTION_INQUIRY, Kind.TRACKING_VALUE_REQUEST])
def test_requests_of_partners_name_program_and_partner(kind: Kind) -> None:
    wanted = {"CampaignId", "CampaignName", "MediaPartnerId", "MediaPartnerName", "CreationDate"}
    assert wanted | COMMON <= set(MACROS[kind])


def test_every_kind_has_its_macros_by_their_names() -> None:
    assert set(MACROS) == set(Kind)
    for macros in (*MACROS.values(), DIGEST):
        assert all(macro.name == name for name, macro in macros.items())


def test_samples_are_what_the_macro_is() -> None:
    for kind, macros in MACROS.items():
        filled = samples(macros.values())
        assert list(filled) == list(macros)
        assert filled["EventType"] in EVENTS[kind]
        for macro in macros.values():
            if macro.numeric:
                assert float(macro.sample) >= 0
            if macro.structured:
                json.loads(macro.sample)
    assert DIGEST["EventType"].sample == CLICK_DIGEST


def test_a_click_is_filled_from_columns_of_the_lake() -> None:
    assert set(CLICK_COLUMNS.values()) <= set(schema.CLICKS.names)


@pytest.mark.parametrize("column", ["unique_click", "payout", "cpc_bid", "client_address"])
def test_what_is_not_known_or_not_shown_is_no_macro(column: str) -> None:
    assert column not in CLICK_COLUMNS.values()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("clickid", "ClickId"),
        ("Click_Id", "ClickId"),
        ("Subid1", "SubId1"),
        ("ProgramId", "ProfileId"),
        ("campaign", "CampaignId"),
    ],
)
def test_the_nearest_macro_is_found_whatever_its_case(name: str, near: str) -> None:
    assert nearest(name, MACROS[Kind.CLICK]) == near


def test_an_unknown_macro_that_resembles_none_still_gets_a_suggestion() -> None:
    assert nearest("Zzz999", MACROS[Kind.JOB_COMPLETION]) in MACROS[Kind.JOB_COMPLETION]
