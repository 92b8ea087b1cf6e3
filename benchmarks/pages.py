"""Pages that strangers have a part in: every text that may come from one is HTML with a script.

A part of benchmarks/reliability.py. Each of `PAGES` makes a page in a folder, opens it in headless Chromium, clicks and
moves on it, and says what is wrong; nothing if no script of the stranger's ran, none of their elements is on the page
and nothing but the page itself was asked for. Scripts that run would set ``window.reached``.
"""

import io
import json
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

import twofold  # noqa: E402
from tests.conftest import FLAGS, encoded, picture, tiny  # noqa: E402
from twofold.page.versus import write_page  # noqa: E402
from twofold.storage import files  # noqa: E402

PLACE = "stranger.example"
PAYLOADS = (
    "<script>window.reached=1</script>",
    "</script><script>window.reached=1</script>",
    f"<script src=http://{PLACE}/a.js></script>",
    f"<img src=http://{PLACE}/a.png onerror=window.reached=1>",
    "<svg onload=window.reached=1>",
    f"<iframe src=http://{PLACE}></iframe>",
    "\"><b onmouseover=window.reached=1 style='position:fixed;inset:0'>",
    "' onmouseover=window.reached=1 '",
    "<a href=javascript:window.reached=1>b</a>",
    f"<style>@import url(http://{PLACE}/a.css);</style>",
    "-->]]><!-- {{ 7 * 7 }} {% raw %} ${window.reached=1} \\u003cscript>window.reached=1\\u003c/script>",
)
THEIRS = f"""() => [...document.querySelectorAll("iframe, [onmouseover], [onload], [onerror], [src], [href], style")]
    .filter(e => [...e.attributes].some(a => a.name.startsWith("on") || /{PLACE}|javascript:/.test(a.value))
        || e.tagName === "IFRAME" || (e.tagName === "STYLE" && e.textContent.includes("{PLACE}")))
    .map(e => e.outerHTML.slice(0, 120))"""
"""What elements of the page are none of its own."""
EVERYWHERE = """() => {  // the pointer comes to every element, and every text of one appears
  for (const each of document.querySelectorAll("*"))
    for (const kind of ["mouseover", "mouseenter", "focus"]) each.dispatchEvent(new MouseEvent(kind, {bubbles: true}));
}"""
SETTINGS = tiny("simclr", epochs=2)
del SETTINGS["data"], SETTINGS["limit"]


def in_names(text: str) -> str:
    """A text as a file may be called: without a slash, and of no more bytes than a name may have."""
    return text.replace("/", "∕")[:80]


def looked_at(path: Path) -> str:
    """What is wrong with a page; nothing if it is only what it should be."""
    asked: list[str] = []
    wrong: list[str] = []
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(f"an error in a script: {error}"))
        page.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        used(page)
        wrong += [f"not the page's own: {found}" for found in page.evaluate(THEIRS)]
        if page.evaluate("() => window.reached !== undefined"):
            wrong.append("a script of theirs has run")
        if "window.reached" not in page.content():
            wrong.append("no text of theirs is on the page")
        browser.close()
    wrong += [f"asked for {url[:120]}" for url in asked if url != path.as_uri() and not url.startswith("data:")]
    return "; ".join(wrong)


def used(page: Page) -> None:
    """Do on a page what a person does: point at everything, choose some points of the map."""
    page.evaluate(EVERYWHERE)
    marks = page.locator("#map .marks")
    if marks.count():
        marks.scroll_into_view_if_needed()
        for x in range(100, 700, 100):
            page.mouse.move(0, 0)
            marks.hover(position={"x": x, "y": 200})
            marks.click(position={"x": x, "y": 200})
        for _ in range(5):
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(100)
    page.evaluate(EVERYWHERE)
    page.wait_for_timeout(500)


def anew(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def of_a_run(folder: Path, data: Path) -> str:
    """A run on images with a stranger's names: pretrained, evaluated, diagnosed and shown."""
    run = twofold.pretrain(data, out=folder / in_names(PAYLOADS[0]), quiet=True, **SETTINGS)
    twofold.evaluate(run, protocols=("knn", "fewshot"))
    twofold.diagnose(run, images=40)
    return looked_at(twofold.report(run))


def names_of_files(folder: Path) -> str:
    """Folders that are classes, and files, are called so."""
    data = anew(folder) / in_names(PAYLOADS[3])
    for number, text in enumerate(PAYLOADS):
        (data / f"{number}{in_names(text)}").mkdir(parents=True)
        for image in range(8):
            other = in_names(PAYLOADS[(number + image) % len(PAYLOADS)])
            name = data / f"{number}{in_names(text)}" / f"{image}{other}.png"
            name.write_bytes(encoded(picture(16, 16, 8 * number + image)))
    return of_a_run(folder, data)


def labels_in_a_tar_file(folder: Path) -> str:
    """Classes in a tar file, which may have any character, and the file, which is cut, so that it is said."""
    shard = anew(folder) / f"{in_names(PAYLOADS[3])}.tar"
    with tarfile.open(shard, "w") as tar:
        for number in range(8 * len(PAYLOADS)):
            text = f"{PAYLOADS[number % len(PAYLOADS)]}"
            for ending, content in ((".png", encoded(picture(16, 16, number))), (".cls", text.encode())):
                member = tarfile.TarInfo(f"{number}{text.replace('.', ',')}{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        end = tar.offset
    shard.write_bytes(shard.read_bytes()[: end - 1] if end % 512 else shard.read_bytes()[:end])
    return of_a_run(folder, shard)


def renamed(value: Any, texts: dict[str, str]) -> Any:
    """JSON with every text, and the keys that are such texts too, as a stranger would have them."""
    if isinstance(value, dict):
        inside = {key: renamed(each, texts) for key, each in value.items()}
        return {texts.get(key, key): each for key, each in inside.items()}
    if isinstance(value, list):
        return [renamed(each, texts) for each in value]
    if isinstance(value, str):
        return texts.setdefault(value, f"{PAYLOADS[len(texts) % len(PAYLOADS)]}{len(texts)}")
    return value


def a_run_directory(folder: Path) -> str:
    """Every text in the results of a run, and a term of its loss."""
    run = twofold.pretrain("digits", out=anew(folder) / "run", quiet=True, **SETTINGS, limit=64)
    twofold.evaluate(run, protocols=("knn", "fewshot"))
    twofold.diagnose(run, images=40)
    for name in ("evaluation.json", "diagnosis.json"):
        path, texts = run.path / name, {"accuracy": "accuracy"}
        found = files.read_json(path, "")
        for finding in found.get("findings", []):
            finding["since"] = 0
        renamed(found.get("representations", []), texts)  # which are keys too
        files.write_json(path, renamed(found, texts), indent=1)  # a stranger can make a checksum, too
    more = dict.fromkeys(PAYLOADS, 1.0)
    lines = [json.dumps({**row, **more}) + "\n" for row in run.metrics]
    (run.path / "metrics.jsonl").write_text("".join(lines))
    return looked_at(twofold.report(run))


def a_comparison(folder: Path) -> str:
    """Every text in what a comparison found."""
    settings = {**SETTINGS, "epochs": 1, "limit": 64}
    result = twofold.compare("digits", "simclr,vicreg", anew(folder) / "compare", quiet=True, **settings)
    texts: dict[str, str] = {"accuracy": "accuracy"}
    for name in result["methods"]:
        texts[name] = PAYLOADS[len(texts) % len(PAYLOADS)]
    return looked_at(write_page(folder, renamed(result, texts)))


PAGES: dict[str, Callable[[Path], str]] = {
    "files": names_of_files,
    "tar": labels_in_a_tar_file,
    "run": a_run_directory,
    "comparison": a_comparison,
}
