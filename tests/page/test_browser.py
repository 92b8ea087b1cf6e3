"""The page in a real browser: what a person clicks, sees and reads. It loads nothing, needs no WebGL."""

import re

import numpy as np
import pytest
import torch

from tests.page.results import DIAGNOSIS, EVALUATION, elsewhere
from twofold.data.opening import open_data
from twofold.encoding.encoder import Encoder
from twofold.encoding.extract import extract
from twofold.page.report import report

LONELY = """() => {  // the point with most room around it, and where it is on the screen
  const {x, y} = atlas, far = (i, j) => (i === j ? 9 : Math.hypot(x[i] - x[j], y[i] - y[j]));
  const room = i => Math.min(...Array.from(x, (_, j) => far(i, j)));
  const rooms = Array.from(x, (_, i) => room(i)), i = rooms.indexOf(Math.max(...rooms));
  const box = document.querySelector(".marks").getBoundingClientRect(), [px, py] = map.plane.at(i);
  return [i, box.left + px / map.plane.ratio, box.top + py / map.plane.ratio];
}"""


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """A real small run on digits, with scores and a diagnosis, and its page."""
    run = elsewhere(
        finished, tmp_path_factory.mktemp("page") / "run", "digits", evaluation=EVALUATION, diagnosis=DIAGNOSIS
    )
    report(run, points=256)
    return run


@pytest.fixture
def opened(browser, run):
    """Opens the page; afterwards nothing was wrong, and nothing was loaded but the file."""
    contexts, wrong, asked = [], [], []

    def open_page(path=run.path, **context):
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"file://{path}/report.html")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("data:", "file://"))] == []
    assert sum(url.startswith("file://") for url in asked) == len(contexts)


def found_neighbours(page):
    return page.eval_on_selector_all(
        "#map .near button",
        "all => all.map(b => [Number(b.dataset.image), Number(b.querySelector('span').textContent)])",
    )


def cosines_of(run, images=256):
    """All cosines between the features of the images on the page, plainly."""
    from twofold.data.plan import sample

    source = sample(open_data(run.recipe.data).train, images)
    features = extract(source, 8, {"": Encoder(run.backbone(), run.spec, torch.device("cpu"))})[""]
    unit = features.values.double().numpy()
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit @ unit.T, source


def is_right(found, cosines, image):
    """Eight others with the largest cosines, largest first; of equals any."""
    expected = np.sort(np.delete(cosines[image], image))[::-1][:8]
    assert image not in [i for i, _ in found]
    np.testing.assert_allclose([cosine for _, cosine in found], expected, atol=6e-4)
    np.testing.assert_allclose([cosines[image, i] for i, _ in found], expected, atol=1e-5)


def test_click_a_point_and_see_its_neighbours(opened, run):
    page = opened()
    page.locator("#map").scroll_into_view_if_needed()
    cosines, source = cosines_of(run)
    image, x, y = page.evaluate(LONELY)
    assert not page.locator("#map .found").is_visible()
    page.mouse.click(x, y)
    page.locator("#map .near button").first.wait_for()
    assert page.locator("#map .name").text_content() == source.name(image)
    assert page.locator("#map .groups li").first.text_content() == f"label: {source.labels[image]}"
    is_right(found_neighbours(page), cosines, image)

    third = found_neighbours(page)[2][0]  # walk on to a neighbour
    page.locator("#map .near button").nth(2).click()
    assert page.locator("#map .name").text_content() == source.name(third)
    is_right(found_neighbours(page), cosines, third)

    shown = page.evaluate(
        """async () => {  // the picture's pixels, once its sheet is decoded
          await sheet(0);
          const pen = document.querySelector(".picture canvas").getContext("2d");
          return Array.from(pen.getImageData(0, 0, 8, 8).data);
        }"""
    )
    assert np.array_equal(np.array(shown).reshape(8, 8, 4)[..., :3].transpose(2, 0, 1), source.image(third))


def test_hover_keys_and_legend(opened, run):
    page = opened()
    page.locator("#map").scroll_into_view_if_needed()
    _, source = cosines_of(run)
    image, x, y = page.evaluate(LONELY)
    page.mouse.move(x, y)
    assert source.name(image) in page.locator("#map .tip").text_content()
    assert page.locator("#map .tip canvas").is_visible()

    page.locator("#map .marks").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#map").get_attribute("data-selected")
    page.keyboard.press("ArrowRight")
    assert page.locator("#map").get_attribute("data-selected") != first
    page.keyboard.press("Escape")
    assert not page.locator("#map .found").is_visible()

    page.locator(f"#map .legend [data-group='{source.labels[image]}']").click()  # its class is hidden
    page.evaluate("scrollTo(0, 0)")
    page.locator("#map").scroll_into_view_if_needed()
    page.mouse.click(*page.evaluate(LONELY)[1:])
    assert page.locator("#map").get_attribute("data-selected") != str(image)
    page.locator("#by button", has_text="clusters").click()
    assert page.locator("#map .legend [data-group]").count() == page.locator("#clusters article").count()


def test_zoom_keeps_what_is_under_the_pointer(opened):
    page = opened()
    page.locator("#map").scroll_into_view_if_needed()
    image, x, y = page.evaluate(LONELY)
    page.mouse.dblclick(x, y)
    assert page.evaluate("map.plane.zoom") == 2
    box = page.locator("#map .marks").bounding_box()
    after = page.evaluate(f"map.plane.at({image}).map(v => v / map.plane.ratio)")
    np.testing.assert_allclose([box["x"] + after[0], box["y"] + after[1]], [x, y], atol=1)
    before = page.evaluate(f"map.plane.at({image})")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10, y + 30, steps=4)
    page.mouse.up()
    moved = np.subtract(page.evaluate(f"map.plane.at({image})"), before)
    assert np.hypot(*moved) > 5


def test_pictures_elsewhere_lead_to_the_map(opened):
    page = opened()
    button = page.locator("#neighbours .thumb").first
    button.scroll_into_view_if_needed()
    image = button.get_attribute("data-image")
    near = page.eval_on_selector_all(
        "#neighbours .strip:first-child .thumb", "all => all.map(b => Number(b.dataset.image))"
    )
    button.click()
    assert page.locator("#map").get_attribute("data-selected") == image
    assert [i for i, _ in found_neighbours(page)] == near[1:]


def test_every_figure_is_drawn(opened, run):
    page = opened()
    figures = page.locator(".plot")
    measures = {name for row in run.metrics for name in row.get("measures", {})}
    assert figures.count() == 2 + 5 + 1 + len(measures)
    for number in range(figures.count()):
        figures.nth(number).scroll_into_view_if_needed()
        figures.nth(number).locator("svg .scatterlayer .trace path").first.wait_for(state="attached")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(opened, width):
    page = opened(viewport={"width": width, "height": 844}, has_touch=width == 390)
    for number in range(page.locator("section").count()):
        page.locator("section").nth(number).scroll_into_view_if_needed()
    page.evaluate("map.select(0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 390:
        page.evaluate("scrollTo(0, 0)")
        page.locator("#map .marks").scroll_into_view_if_needed()
        image, x, y = page.evaluate(LONELY)
        page.touchscreen.tap(x, y)
        assert page.locator("#map").get_attribute("data-selected") == str(image)


def contrast(one, other):
    """WCAG 2's ratio of two colours as the browser writes them, 1 to 21."""

    def luminance(colour):
        parts = np.array([float(v) for v in re.findall(r"[\d.]+", colour)[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


PLANE = """() => {  // the map's background, and how many colours it has
  const {width, height} = map.plane, pen = document.querySelector("#map .points").getContext("2d");
  const {data} = pen.getImageData(0, 0, width, height);
  return [`rgb(${data[0]}, ${data[1]}, ${data[2]})`, new Set(new Uint32Array(data.buffer)).size];
}"""

READ = """([selector, property]) => {  // a text's colour and the colour it lies on
  const place = document.querySelector(selector), colour = getComputedStyle(place)[property];
  let under = place;
  while (under && getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
  return [colour, getComputedStyle(under).backgroundColor];
}"""


def test_light_and_dark_are_readable(opened):
    """Also when the reader's system changes while the page is open."""
    page = opened(color_scheme="light")
    page.locator("#training .plot").first.scroll_into_view_if_needed()
    page.locator("#training .plot svg .xtick text").first.wait_for()
    pages = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)
        texts = (
            "h1",
            "nav a",
            "#views .soft",
            ".alarm p",
            ".alarm dt",
            "td.best",
            "pre",
            "#map .hint",
            ".legend small",
        )
        for selector in texts:
            assert contrast(*page.evaluate(READ, [selector, "color"])) >= 4.5, (scheme, selector)
        tick = page.evaluate(READ, ["#training .plot svg .xtick text", "fill"])
        assert contrast(*tick) >= 4.5, scheme
        assert contrast(*page.evaluate(READ, ["#training .plot svg .trace path.js-line", "stroke"])) >= 3
        pages[scheme] = page.evaluate(PLANE)
        assert pages[scheme][0] == page.evaluate(READ, ["#images", "color"])[1]  # the map lies on the card's colour
        assert pages[scheme][1] > 20
    assert pages["light"][0] != pages["dark"][0]


@pytest.mark.slow
def test_fifty_thousand_points(opened, finished, tmp_path):
    """The page answers a click; the file stays below 30 MB."""
    random = np.random.default_rng(0)
    kinds = random.integers(0, 256, (20, 3, 8, 8))
    labels = random.integers(0, 20, 50_000)
    images = np.clip(kinds[labels] + random.normal(0, 40, (50_000, 3, 8, 8)), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "many.npz", images=images, labels=labels)
    run = elsewhere(finished, tmp_path / "run", tmp_path / "many.npz")
    path = report(run)
    assert path.stat().st_size < 30e6
    page = opened(run.path)
    assert page.evaluate("atlas.x.length") == 50_000
    page.locator("#map").scroll_into_view_if_needed()
    page.locator("#map .marks").click(position={"x": 400, "y": 250})
    if page.locator("#map").get_attribute("data-selected") == "-1":  # between the groups: from the keyboard then
        page.keyboard.press("ArrowRight")
    image = int(page.locator("#map").get_attribute("data-selected"))
    assert len(found_neighbours(page)) == 8
    features = extract(
        open_data(run.recipe.data).train,
        8,
        {"": Encoder(run.backbone(), run.spec, torch.device("cpu"))},
    )
    unit = torch.nn.functional.normalize(features[""].values)
    expected = (unit @ unit[image]).sort(descending=True).values[1:9]
    np.testing.assert_allclose([cosine for _, cosine in found_neighbours(page)], expected, atol=6e-4)
