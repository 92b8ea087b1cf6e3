"""The figure of a claim."""

from xml.etree import ElementTree

from twofold.claims.base import Claim, Expected
from twofold.claims.figure import draw

CARD = "A claim.\n\nclaim     It is.\nsetup     None.\nrefuted   if not."
NUMBERS = {"m": {"one < two": [1.0, 2.0], "another": [3.0, 3.5]}, "n": {"0.1": [1.0, 2.0], "10": [5.0, 6.0]}}
CLAIM = Claim(
    77, CARD, lambda stage: {}, {"m": "wetness", "n": "heat"}, [Expected("m", "another", 1.5)], {"n": "epsilon"}, True
)


def test_it_shows_every_seed_of_every_arm_and_is_the_same_each_time():
    svg = draw(CLAIM, NUMBERS)
    assert svg == draw(CLAIM, NUMBERS)
    texts = [node.text for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"one < two", "another", "wetness", "heat", "epsilon", "0.1", "10"} <= set(texts)
    assert svg.count("fill: #1f66c1") == 8  # a dot for each of two seeds of four arms
