"""Parameters of a tracking link that are ours (impact-api 5.3): recorded, not passed on."""

#: Parameter in lower case → column. Of repeated parameters the first counts, also among two
#: spellings of one column.
PARAMETERS = {
    "subid1": "sub_id1",
    "subid2": "sub_id2",
    "subid3": "sub_id3",
    "sharedid": "shared_id",
    "prodsku": "product_sku",
    "param1": "param1",
    "param2": "param2",
    "param3": "param3",
    "param4": "param4",
    "adcampaign": "ad_campaign",
    "adgroup": "ad_group",
    "keyword": "keyword",
    "matchtype": "match_type",
    "channel": "channel",
    "trafsrc": "traffic_source",
    "trafcat": "traffic_category",
    "bidkw": "bid_keyword",
    "bidkeyword": "bid_keyword",
    "searchtxt": "search_text",
    "searchtext": "search_text",
}

#: Consumed as well, though they make no column: the deep link, and the partner's own property.
WITHOUT_COLUMN = ("u", "partnerpropertyid")
