"""The suite itself: that it is as large as it says, and names its sources."""

import re
from pathlib import Path

import pytest

FEWEST = 150
FOLDER = Path(__file__).parent
# A section in the name of a case, or in the words of a test.
_NAMED = re.compile(r"\[?([0-9]{4} ([A-Z]\.)?[0-9.]+|PROXY|XCLIENT|XFORWARD) ")
_CITED = re.compile(r"RFC [0-9]{4}|PROXY §|XCLIENT_README")


def test_there_are_as_many_cases_as_promised(request):
    """Each is against the letter of a document (RFC 5321 §4 and its extensions)."""
    items = [item for item in request.session.items if item.path.parent == FOLDER]
    if {item.path for item in items} != set(FOLDER.glob("test_*.py")):
        pytest.skip("counted when all of them are collected")

    assert len(items) >= FEWEST


def test_each_case_names_its_source(request):
    """Who doubts a case must know where to look (RFC 2119 §6)."""
    nameless = [
        item.nodeid
        for item in request.session.items
        if item.path.parent == FOLDER
        and not _NAMED.search(item.name)
        and not _CITED.search(item.function.__doc__ or "")
    ]

    assert nameless == []
