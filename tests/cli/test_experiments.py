"""`twofold claims`."""

import json
import re

from tests.cli.running import twofold
from twofold.claims.base import all_claims


def test_the_list_has_every_claim_with_its_verdict(capsys, tmp_path):
    code, out, _ = twofold(capsys, "claims", "--out", tmp_path)
    assert code == 0
    for number, claim in all_claims().items():
        assert re.search(rf"^ *{number} +{claim.title[:20]}", out, re.M)


def test_claims_are_carried_out_and_shown(capsys, tmp_path):
    code, out, _ = twofold(capsys, "claims", "3", "15", "--out", tmp_path, "--seeds", "2", "--steps", "2")
    assert code == 0
    assert "Claim 3: InfoNCE pushes similar negatives hardest." in out
    assert re.search(r"^ *0\.1 +\d", out, re.M)
    assert "Verdict:" not in out  # two steps decide nothing
    assert re.search(r"^No verdict: it was only tried out \(2 seeds, \d+ s of processor time\)", out, re.M)
    for number in ("03", "15"):
        names = {path.name for path in (tmp_path / number).iterdir()}
        assert names == {"results.json", "figure.svg", "index.html"}
    assert json.loads((tmp_path / "03" / "results.json").read_text())["seeds"] == 2
    assert (tmp_path / "index.html").exists()
    code, out, _ = twofold(capsys, "claims", "--out", tmp_path)
    titles, row = (next(line for line in out.splitlines() if word in line) for word in ("here", "InfoNCE pushes"))
    assert titles.split() == ["claim", "here", "digits", "photographs"]
    assert re.search(r"hardest +tried out +shown", row)


def test_wrong_words_are_a_line(capsys, tmp_path):
    for words, said in {
        ("99",): "there is no claim 99; there are 1, ",
        ("3", "--data", "nowhere"): "there is no file or folder 'nowhere'",
        ("3", "--seeds", "0"): "at least 1",
    }.items():
        code, _, err = twofold(capsys, "claims", *words, "--out", tmp_path / "out")
        assert code == 2
        assert said in err
        assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
