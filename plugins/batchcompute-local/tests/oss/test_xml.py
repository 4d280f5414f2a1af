"""XML of requests and answers."""

from __future__ import annotations

import pytest
from batchcompute_local.oss.errors import OssError
from batchcompute_local.oss.xml import document, element, parse

BOMB = b"""<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Delete><Object><Key>&b;</Key></Object></Delete>"""


def test_a_document() -> None:
    root = parse(
        b'<Delete xmlns="x:y"><Quiet>true</Quiet><Object><Key>a&amp;b</Key></Object><Object/></Delete>', "Delete"
    )
    assert root.value("Quiet") == "true"
    assert [each.name for each in root.children] == ["Quiet", "Object", "Object"]
    assert next(root.all("Object")).value("Key") == "a&b"
    assert root.find("Nothing") is None


@pytest.mark.parametrize(
    "body",
    [
        b"<Delete>",
        b"",
        b"<Other/>",
        b"<Delete>&unknown;</Delete>",
        b"<Delete>" * 20,
        b'<?xml version="1.0" encoding="no-such"?><Delete/>',
        b"\xff\xfe<",
    ],
)
def test_what_is_refused(body: bytes) -> None:
    with pytest.raises(OssError) as caught:
        parse(body, "Delete")
    assert caught.value.code == "MalformedXML"


@pytest.mark.parametrize(
    "body",
    [
        BOMB,
        b'<!DOCTYPE d SYSTEM "file:///etc/passwd"><Delete/>',
        b'<!DOCTYPE d [<!ENTITY a "k">]><Delete><Object><Key>&a;</Key></Object></Delete>',
        b"<!DOCTYPE Delete><Delete/>",
    ],
)
def test_a_dtd_is_refused_whatever_it_has(body: bytes) -> None:
    with pytest.raises(OssError, match="a DTD is not allowed"):
        parse(body, "Delete")


def test_an_element_that_is_absent() -> None:
    with pytest.raises(OssError, match="has no <Key>"):
        parse(b"<Delete/>", "Delete").value("Key")


def test_an_answer() -> None:
    text = document("A", [element("B", "<&\x01>"), element("C", True), element("D", 5), element("E", [])]).decode()
    assert text.endswith("<A><B>&lt;&amp;\ufffd&gt;</B><C>true</C><D>5</D><E></E></A>")
