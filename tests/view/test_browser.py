"""The report in a real browser, with the network off."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stagectl.simulate import comparison_of
from stagectl.view.report import simulation_report
from stagectl.view.report.run import run_report
from tests.view.learners import simulation
from tests.view.story import GONE, Story
from tests.view.test_simulation import sweep

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., Any]
EVIL = "<img src=x onerror=document.title='obeyed'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; CI fails where it is missing, elsewhere its tests are passed over."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        missing = "no chromium here: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"], timeout=120_000
        )  # CI runs as root
        yield browser
        browser.close()


@pytest.fixture
def page_of(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page; at the end nothing may have been fetched, logged or gone wrong."""
    seen: list[str] = []
    contexts = []

    def open_page(html: str, **options: Any) -> Page:
        file = tmp_path / "report.html"
        file.write_text(html)
        context = browser.new_context(offline=True, viewport={"width": 1100, "height": 900}, **options)
        context.set_default_timeout(120_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: seen.append(request.url) if request.url != file.as_uri() else None)
        page.on("console", lambda message: seen.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_selector(".chart svg")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert seen == []


@pytest.fixture(scope="module")
def simulated() -> str:
    return simulation_report(comparison_of([simulation(5, rollouts=76)]), [("doorkey.yaml", "stages: [a]\n")], sweep())


def axis(page: Page) -> list[str]:
    return page.locator("text.step").all_text_contents()


def hover(page: Page, share: float) -> str:
    """Point into the chart's plot; what the tip says."""
    box = page.locator(".chart .cursor").evaluate(
        "line => { const svg = line.ownerSVGElement, chart = svg.getBoundingClientRect(), "
        "rule = svg.querySelector('.axis').getBoundingClientRect(); "
        "return { x: rule.x, width: rule.width, y: chart.y + 90 }; }"
    )
    page.mouse.move(box["x"] + box["width"] * share, box["y"])
    return str(page.locator(".tip").inner_text())


def test_pointing_at_a_step_tells_every_seed(page_of: Open, simulated: str) -> None:
    page = page_of(simulated)
    assert page.locator(".tip").is_hidden()
    told = hover(page, 0.5).split("\n")
    assert told[0] == "step 77,824"
    stages = ["doorkey_6", "doorkey_8", "doorkey_6", "doorkey_8", "doorkey_8"]
    assert told[1::2] == [f"doorkey-seed-{seed}: {stage}" for seed, stage in enumerate(stages)]
    assert all(value.endswith(" of 0.80") for value in told[2::2])


def test_dragging_zooms_and_a_double_click_shows_all(page_of: Open, simulated: str) -> None:
    page = page_of(simulated)
    whole = axis(page)
    hover(page, 0.25)
    page.mouse.down()
    hover(page, 0.5)
    page.mouse.up()
    assert axis(page)[0] == "40k"
    assert axis(page)[-1] == "75k"
    page.locator(".drawing").dblclick()
    assert axis(page) == whole


def test_buttons_zoom(page_of: Open, simulated: str) -> None:
    page = page_of(simulated)
    whole = axis(page)
    page.get_by_role("button", name="zoom in").click()
    assert axis(page) != whole
    page.get_by_role("button", name="show all").click()
    assert axis(page) == whole


def test_everything_can_be_done_by_keyboard(page_of: Open, simulated: str) -> None:
    page = page_of(simulated)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "to the answer"
    page.locator(".drawing").focus()
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    assert page.locator(".tip b").first.inner_text() == "step 77,824"
    page.keyboard.press("ArrowDown")
    assert page.locator(".tip .stage").all_inner_texts() == ["doorkey-seed-0: doorkey_6"]
    whole = axis(page)
    page.keyboard.press("+")
    assert len(axis(page)) > 1
    assert axis(page) != whole
    page.keyboard.press("0")
    assert axis(page) == whole
    page.keyboard.press("Escape")
    assert page.locator(".tip").is_hidden()


def test_colours_follow_the_system_the_button_and_print(page_of: Open, simulated: str) -> None:
    page = page_of(simulated, color_scheme="dark")

    def paper() -> str:
        return str(page.evaluate("getComputedStyle(document.body).color"))

    dark = paper()
    page.get_by_role("button", name="dark colours").click()
    light = paper()
    assert light != dark
    page.get_by_role("button", name="dark colours").click()
    assert paper() == dark
    page.emulate_media(media="print")
    assert paper() == light
    assert page.locator(".zoom").is_hidden()


def test_a_narrow_page_does_not_scroll_sideways(page_of: Open, simulated: str) -> None:
    page = page_of(simulated)
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_heat_map_is_walked_with_the_arrow_keys(page_of: Open, simulated: str) -> None:
    page = page_of(simulated)
    page.locator(".heat td").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    told = page.locator(".readout").first.inner_text()
    assert told == "performance_threshold 0.7, empty.transition_smoothing 0.1: 60k"
    page.keyboard.press("ArrowDown")
    assert page.locator(".readout").first.inner_text().endswith(": never")


def test_names_are_shown_and_never_obeyed(page_of: Open) -> None:
    page = page_of(simulation_report(comparison_of([simulation(2, rollouts=30, stages=(EVIL, "b"))])))
    hover(page, 0.5)
    assert EVIL in page.locator(".tip").inner_text()
    assert EVIL in page.locator("h1").inner_text()
    assert page.locator("img").count() == 0
    assert page.title() != "obeyed"


def test_a_run_has_a_page_with_its_curve_under_its_stages(page_of: Open) -> None:
    told = Story().begin().learn(80).end()
    page = page_of(run_report(told.run, told.told, GONE, "curriculum: {}\n", told.now))
    stages = page.locator(".chart .inside").all_text_contents()
    assert stages == ["empty", "doorkey_6", "doorkey_8", "doorkey_16"][: len(stages)]
    assert page.locator(".chart .curve").count() == len(told.status.transitions) + 1
    assert "step" in hover(page, 0.3)
    for heading in ("Performance", "Stages", "Transitions", "Recipe"):
        assert page.get_by_role("heading", name=heading, exact=True).count() == 1
