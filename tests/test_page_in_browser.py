"""The report's pages in Chromium: at three widths, dark, printed, without scripts, and by keyboard."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_results import params, write_all

from pipeline.report import report

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip(f"no Chromium at {CHROMIUM} (Debian's package `chromium`)", allow_module_level=True)
sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe

PAGES = ("index.html", "details/index.html", "cost.html")
WIDTHS = (1440, 1024, 390)
SETTINGS = params(datasets=1, seeds=2, report={"dpi": 50})


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browsed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_all(SETTINGS)
        report(SETTINGS)
    return folder / "reports"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any, reports: Path) -> Iterator[Any]:
    """Opens a page of the report; whatever its console complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(name: str = "index.html", width: int = 1440, **about: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **about)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url[:100]))
        page.goto((reports / name).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_overflows_and_axe_finds_nothing_serious(
    name: str, scheme: str, opened: Any, tmp_path: Path
) -> None:
    page = opened(name, color_scheme=scheme)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=tmp_path / f"{width}.png", full_page=True)
    broken = "[...document.images].filter((i) => i.loading !== 'lazy' && !i.naturalWidth).length"
    assert page.evaluate(broken) == 0
    found = Axe().run(page)
    serious = [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in serious] == []


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_it_prints_on_few_pages_with_all_open(paper: str, opened: Any, tmp_path: Path) -> None:
    page = opened()
    printed = page.pdf(path=tmp_path / "page.pdf", format=paper, prefer_css_page_size=False)
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 690, "height": 900})  # px between the margins of A4, the narrower one
    assert page.evaluate("document.documentElement.scrollWidth") <= 690
    page.screenshot(path=tmp_path / "print.png", full_page=True)
    assert not page.locator(".needs-script").first.is_visible()


def test_tables_sort_both_ways(opened: Any) -> None:
    page = opened()
    table = page.locator("table.methods").first
    heading = table.locator("thead th", has_text="macro")
    column = heading.evaluate("(each) => each.cellIndex")

    def values() -> list[float]:
        cells = table.locator(f"tbody tr > :nth-child({column + 1})[data-value]")
        return cells.evaluate_all("(all) => all.map((each) => Number(each.dataset.value))")

    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending" and values() == sorted(values(), reverse=True)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending" and values() == sorted(values())


def test_methods_can_be_hidden_everywhere(opened: Any) -> None:
    page = opened()
    page.locator("#methods-shown summary").click()
    shown = page.locator('[data-method="cyborg"]')
    assert shown.count() == 2 and all(each.is_visible() for each in shown.all())  # a line and a picture
    page.get_by_label("cyborg", exact=True).uncheck()
    assert not any(each.is_visible() for each in shown.all())
    page.locator(".browser [name=next]").click()
    assert not any(each.is_visible() for each in page.locator('[data-method="cyborg"]').all())


def test_images_turn_over_and_maps_fade(opened: Any, tmp_path: Path) -> None:
    page = opened()
    browser = page.locator(".browser").first
    first = browser.locator("output").text_content()
    browser.locator("[name=next]").click()
    assert browser.locator("output").text_content() != first
    browser.locator("[name=opacity]").fill("0.2")
    assert set(browser.locator("canvas").evaluate_all("(all) => all.map((each) => each.style.opacity)")) == {
        "0.2"
    }
    canvas = browser.locator("canvas").first
    before = canvas.evaluate("(each) => each.toDataURL()")
    browser.locator("[name=kind]").select_option("true")
    assert browser.locator("canvas").first.evaluate("(each) => each.toDataURL()") != before
    browser.locator("[name=order]").select_option("worst")
    assert browser.locator("output").text_content().startswith("1 of ")
    wrong = browser.locator("figure.wrong").count()
    browser.locator("[name=order]").select_option("kept")
    assert wrong >= browser.locator("figure.wrong").count()
    browser.screenshot(path=tmp_path / "browser.png")


def test_a_number_says_where_it_comes_from(opened: Any) -> None:
    page = opened()
    cell = page.locator('tr[data-method="cyborg"] td[data-row]').first
    cell.focus()
    page.keyboard.press("Enter")
    told = page.locator("#receipt")
    assert told.is_visible() and f"camdivide trace {cell.get_attribute('data-row')}" in told.inner_text()
    assert "2 of 2 units" in told.inner_text()
    page.keyboard.press("Escape")
    assert not told.is_visible()


def test_the_results_are_one_step_away_for_the_keyboard(opened: Any) -> None:
    page = opened()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/index.html#main", timeout=5000)


def test_without_scripts_it_is_a_whole_page(opened: Any) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator("table.methods").first.is_visible() and page.locator("#words").is_visible()
    assert not any(each.is_visible() for each in page.locator(".needs-script").all())
