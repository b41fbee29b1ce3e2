"""Landing URLs: what we add is added once, what is there stays as it is."""

import pytest

from clickledger.collector.landing import Landing

TOKENS = {"{irpid}": "1", "{iradid}": "2", "{ircid}": "3"}

#: name, page, templates, passed on, expected with click id "ID", expected without
CASES = [
    (
        "bare host",
        "https://s.example",
        (),
        "",
        "https://s.example/?irclickid=ID&irgwc=1",
        "https://s.example/?irgwc=1",
    ),
    (
        "path",
        "https://s.example/a/b",
        (),
        "",
        "https://s.example/a/b?irclickid=ID&irgwc=1",
        "https://s.example/a/b?irgwc=1",
    ),
    (
        "existing query, order and repetition",
        "https://s.example/?b=2&a=1&b=3",
        (),
        "",
        "https://s.example/?b=2&a=1&b=3&irclickid=ID&irgwc=1",
        "https://s.example/?b=2&a=1&b=3&irgwc=1",
    ),
    (
        "fragment",
        "https://s.example/p#/route?x=1",
        (),
        "",
        "https://s.example/p?irclickid=ID&irgwc=1#/route?x=1",
        "https://s.example/p?irgwc=1#/route?x=1",
    ),
    (
        "encoded delimiters",
        "https://s.example/a%2Fb?u=%26%3D%23",
        (),
        "",
        "https://s.example/a%2Fb?u=%26%3D%23&irclickid=ID&irgwc=1",
        "https://s.example/a%2Fb?u=%26%3D%23&irgwc=1",
    ),
    (
        "click id on the page is replaced",
        "https://s.example/?irclickid=old&x=1&IRCLICKID=old",
        (),
        "",
        "https://s.example/?x=1&irclickid=ID&irgwc=1",
        "https://s.example/?x=1&irgwc=1",
    ),
    (
        "click id hidden by encoding is replaced",
        "https://s.example/?%69rclickid=old&ir%67wc=0",
        (),
        "",
        "https://s.example/?irclickid=ID&irgwc=1",
        "https://s.example/?irgwc=1",
    ),
    (
        "templates are filled and appended in order",
        "https://s.example/",
        ("mpid={irpid}&tag={iradid}_{ircid}&cid={clickid}", "afsrc=1&empty="),
        "",
        "https://s.example/?mpid=1&tag=2_3&cid=ID&afsrc=1&empty=&irclickid=ID&irgwc=1",
        "https://s.example/?mpid=1&tag=2_3&cid=&afsrc=1&empty=&irgwc=1",
    ),
    (
        "a template that names the click id itself adds it once",
        "https://s.example/",
        ("irclickid={clickid}&a=1",),
        "",
        "https://s.example/?a=1&irclickid=ID&irgwc=1",
        "https://s.example/?a=1&irgwc=1",
    ),
    (
        "macros inside the page",
        "https://s.example/{irpid}?c={clickid}&p={ircid}#{clickid}",
        (),
        "",
        "https://s.example/1?c=ID&p=3&irclickid=ID&irgwc=1#ID",
        "https://s.example/1?c=&p=3&irgwc=1#",
    ),
    (
        "a question mark at the end belongs to the value",
        "https://s.example/p?q=what?",
        ("p={irpid}",),
        "",
        "https://s.example/p?q=what?&p=1&irclickid=ID&irgwc=1",
        "https://s.example/p?q=what?&p=1&irgwc=1",
    ),
    (
        "empty parameters stay",
        "https://s.example/p?&a&&b=&",
        (),
        "",
        "https://s.example/p?&a&&b=&&irclickid=ID&irgwc=1",
        "https://s.example/p?&a&&b=&&irgwc=1",
    ),
    (
        "a click id behind a doubled question mark is replaced",
        "https://s.example/p??irclickid=x&b=1",
        (),
        "",
        "https://s.example/p?b=1&irclickid=ID&irgwc=1",
        "https://s.example/p?b=1&irgwc=1",
    ),
    (
        "passed on, raw and never filled",
        "https://s.example/?a=1",
        (),
        "utm=%20x&utm=y&m={clickid}",
        "https://s.example/?a=1&utm=%20x&utm=y&m={clickid}&irclickid=ID&irgwc=1",
        "https://s.example/?a=1&utm=%20x&utm=y&m={clickid}&irgwc=1",
    ),
]


@pytest.mark.parametrize(
    ("page", "templates", "passed_on", "with_id", "without"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_url(
    page: str, templates: tuple[str, ...], passed_on: str, with_id: str, without: str
) -> None:
    landing = Landing(page, click_id_param="irclickid", templates=templates, tokens=TOKENS)
    assert landing.url("ID", passed_on) == with_id
    assert landing.url("", passed_on) == without


def test_the_click_id_parameter_is_the_programs() -> None:
    landing = Landing(
        "https://s.example/?clickId=x", click_id_param="clickid", templates=(), tokens={}
    )
    assert landing.url("ID", "") == "https://s.example/?clickid=ID&irgwc=1"
