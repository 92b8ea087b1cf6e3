"""The page of claims."""

import re

from tests.claims.test_figure import CLAIM, NUMBERS
from twofold.claims.page import about, write_claim, write_page

RESULT = {
    "numbers": NUMBERS,
    "seeds": 2,
    "seconds": 30,
    "full": True,
    "data": {"name": "<b>mine", "training": 20, "held out": 10, "size": 8},
    "versions": {"twofold": "1", "torch": "2"},
    "date": "2026-01-02T03:04:05",
}


def test_it_is_one_file_that_loads_nothing(tmp_path):
    (tmp_path / "77").mkdir()
    folder = write_claim(tmp_path, CLAIM, RESULT)
    assert {path.name for path in folder.iterdir()} == {"figure.svg", "index.html"}
    page = (folder / "index.html").read_text()
    assert "<svg" in page
    assert "<h3>&lt;b&gt;mine: shown</h3>" in page
    assert "wetness of another less 1.5 is +1.75 ± 0.35" in page
    assert "&lt;b&gt;mine, 20 images of 8 pixels" in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith(("#", "data:")) for link in links)
    assert len(page) < 100_000


def test_several_claims_share_a_page(tmp_path):
    write_page(tmp_path / "all.html", "All", [(CLAIM, [RESULT, RESULT]), (CLAIM, [RESULT])])
    page = (tmp_path / "all.html").read_text()
    assert page.count('<section id="claim-77"') == 2
    assert page.count("<svg") == 3
    assert '<a href="#claim-77">77</a>' in page


def test_how_a_result_came_to_be():
    said = about(RESULT)
    assert "10 held out; 2 seeds, 30 seconds of processor time, four times as long as usual; " in said
    assert said.endswith("twofold 1, torch 2; 2026-01-02")
