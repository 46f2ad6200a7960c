"""What the documents promise exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT.glob("*.md")),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "deploy").rglob("*.md"),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    """A relative link names a file or folder that is there."""
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    local = [link for link in links if not link.startswith("http")]

    missing = [link for link in local if not (page.parent / link).exists()]

    assert missing == []


def test_every_rfc_that_code_cites_has_a_row():
    """docs/specifications.md says how far each is followed, and where not."""
    sources = (ROOT / "mta").rglob("*.py")
    text = "\n".join(source.read_text() for source in sources)
    cited = set(re.findall(r"RFC ([0-9]{3,5})", text))
    rows = set(
        re.findall(
            r"^\| RFC ([0-9]+) \|",
            (ROOT / "docs/specifications.md").read_text(),
            re.MULTILINE,
        )
    )

    assert sorted(cited - rows, key=int) == []


def test_every_make_target_of_the_readme_exists():
    """A newcomer's first commands work."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", readme, re.MULTILINE))

    assert named - targets == set()


def test_every_metric_is_documented():
    """docs/reference/metrics.md names all of them."""
    code = (ROOT / "mta/observe/metrics.py").read_text()
    names = re.findall(r'"((?:zonemta|mta)_[a-z_]+)"', code)
    page = (ROOT / "docs/reference/metrics.md").read_text()

    assert [name for name in names if name not in page] == []
