"""The one renderer: the same record as XML and as JSON."""

import pytest

from clickledger.api.render import Answer, Document, Format, Listing, Members, Resource, render

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n<ImpactRadiusResponse>{}</ImpactRadiusResponse>'

CASES: dict[str, tuple[Document, str, str]] = {
    "the answer to a command has no element of its own": (
        Answer({"Status": "QUEUED", "QueuedUri": "/a/b"}),
        "<Status>QUEUED</Status><QueuedUri>/a/b</QueuedUri>",
        '{"Status":"QUEUED","QueuedUri":"/a/b"}',
    ),
    "a resource has an element that JSON drops": (
        Resource("Job", {"Id": "1", "StartedDate": None, "StatusMessage": ""}),
        "<Job><Id>1</Id><StartedDate/><StatusMessage/></Job>",
        '{"Id":"1","StartedDate":"","StatusMessage":""}',
    ),
    "numbers and flags": (
        Answer({"status": 404, "Share": 0.5, "Yes": True, "No": False}),
        "<status>404</status><Share>0.5</Share><Yes>true</Yes><No>false</No>",
        '{"status":404,"Share":0.5,"Yes":true,"No":false}',
    ),
    "a record in a record": (
        Resource("Click", {"BrandRelated": {"Keyword": "shoes", "Channel": None}}),
        "<Click><BrandRelated><Keyword>shoes</Keyword><Channel/></BrandRelated></Click>",
        '{"BrandRelated":{"Keyword":"shoes","Channel":""}}',
    ),
    "a list in a record": (
        Answer({"Errors": Members("Error", [{"Field": "Date"}, {"Field": "x"}])}),
        "<Errors><Error><Field>Date</Field></Error><Error><Field>x</Field></Error></Errors>",
        '{"Errors":[{"Field":"Date"},{"Field":"x"}]}',
    ),
    "an empty list in a record": (
        Answer({"Errors": Members("Error", [])}),
        "<Errors/>",
        '{"Errors":[]}',
    ),
    "a listing has attributes in XML and @ keys in JSON": (
        Listing("Jobs", "Job", [{"Id": "1"}, {"Id": "2"}], {"page": "1", "uri": "/J?a=1&b=2"}),
        '<Jobs page="1" uri="/J?a=1&amp;b=2"><Job><Id>1</Id></Job><Job><Id>2</Id></Job></Jobs>',
        '{"@page":"1","@uri":"/J?a=1&b=2","Jobs":[{"Id":"1"},{"Id":"2"}]}',
    ),
    "an empty listing keeps its attributes": (
        Listing("Jobs", "Job", [], {"total": "0"}),
        '<Jobs total="0"></Jobs>',
        '{"@total":"0","Jobs":[]}',
    ),
    "what XML marks up with is escaped": (
        Answer({"Message": 'a<b & c>d "e" ]]>'}),
        '<Message>a&lt;b &amp; c&gt;d "e" ]]&gt;</Message>',
        '{"Message":"a<b & c>d \\"e\\" ]]>"}',
    ),
    "a line end survives an XML parser": (
        Answer({"Message": "a\r\nb\tc"}),
        "<Message>a&#13;\nb\tc</Message>",
        '{"Message":"a\\r\\nb\\tc"}',
    ),
    "what XML cannot carry is replaced in both": (
        Answer({"Message": "a\x00b\x1bc\ud800d\ufffee"}),
        "<Message>a\ufffdb\ufffdc\ufffdd\ufffde</Message>",
        '{"Message":"a\ufffdb\ufffdc\ufffdd\ufffde"}',
    ),
    "attributes escape what a parser would normalise": (
        Listing("Jobs", "Job", [], {"uri": 'a"b\t\r\n<c\x00'}),
        '<Jobs uri="a&quot;b&#9;&#13;&#10;&lt;c\ufffd"></Jobs>',
        '{"@uri":"a\\"b\\t\\r\\n<c\ufffd","Jobs":[]}',
    ),
}


@pytest.mark.parametrize(("document", "xml", "json"), CASES.values(), ids=CASES.keys())
def test_render(document: Document, xml: str, json: str) -> None:
    assert render(document, Format.XML).decode() == _XML.format(xml)
    assert render(document, Format.JSON).decode() == json


def test_content_types() -> None:
    assert Format.XML.content_type == "text/xml; charset=UTF-8"
    assert Format.JSON.content_type == "application/json"
