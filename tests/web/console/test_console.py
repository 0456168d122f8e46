"""The console in a real browser: from upload to report, diagnoses, decisions about models, and what goes wrong."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alp_assets.params import PromotionParams
from alp_assets.registry.promotion import objections
from alp_assets.web.console.static import STATIC_URL
from alp_assets.web.identity import Role
from alp_assets.web.keys import KeyStore
from tests.packages import audio, hum, machine_files, machine_package, receive, row, run_through, table, zipped
from tests.web.console.conftest import PARAMS, Open, Served

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = pytest.mark.slow

SECTION = "/models/section?section=acme%2Ffan%2F1"
PAGES = ["/packages", "/packages/acme/first", "/diagnose", "/models", SECTION, "/threshold", "/feedback"]
COMPLAINTS = (Path(__file__).parent / "complaints.js").read_text("utf-8")
RULE = PromotionParams()
HOSTILE = "<img src=x onerror=document.title='owned'>"


def loaded(page: Any) -> None:
    """Wait until nothing is being fetched for the page any more."""
    page.locator("main:not([inert])").wait_for()
    expect(page.get_by_text(re.compile("Loading …|불러오는 중입니다…"))).to_have_count(0)


def recording(path: Path, *, faulty: bool = False, seconds: float = 12.0) -> Path:
    path.write_bytes(audio(hum(77, seconds=seconds, faulty=faulty)))
    return path


# --- signing in


def test_a_wrong_key_is_told_in_place_and_a_right_one_leads_to_the_page_that_was_asked_for(
    open_page: Open, served: Served
) -> None:
    page = open_page("/threshold", key=None)
    assert "/sign-in" in page.url
    page.get_by_label("API key").fill("alp_nobody_knows")
    page.get_by_role("button", name="Sign in").click()
    assert "not known" in page.get_by_role("alert").inner_text()
    page.get_by_label("API key").fill(served.keys[Role.VIEWER])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/threshold")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.goto("/packages")
    assert "/sign-in" in page.url


def test_what_one_presses_before_the_page_listens_does_nothing(open_page: Open, served: Served) -> None:
    page = open_page("/sign-in", key=None)
    held: list[Any] = []
    page.route("**/js/pages/sign_in.js", lambda route: held.append(route))
    with page.expect_request("**/js/pages/sign_in.js"):
        page.reload(wait_until="commit")
    expect(page.locator("main[inert]")).to_be_visible()
    page.locator("#key").evaluate("(key, text) => { key.value = text }", served.keys[Role.VIEWER])
    page.get_by_text("Sign in", exact=True).last.click(force=True)
    page.keyboard.press("Enter")
    held[0].continue_()
    page.locator("main:not([inert])").wait_for()
    assert page.get_by_text("has not loaded completely").count() == 0
    assert page.url.endswith("/sign-in")
    expect(page.get_by_label("API key")).to_be_focused()
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/packages")


def test_nobody_signs_out_in_vain_before_the_page_listens(open_page: Open) -> None:
    page = open_page("/threshold")
    held: list[Any] = []
    page.route("**/js/pages/threshold.js", lambda route: held.append(route))
    with page.expect_request("**/js/pages/threshold.js"):
        page.reload(wait_until="commit")
    expect(page.locator("#sign-out[inert]")).to_be_visible()
    page.locator("#sign-out").click(force=True)
    held[0].continue_()
    page.locator("main:not([inert])").wait_for()
    assert page.url.endswith("/threshold")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")


def test_a_page_whose_script_cannot_be_had_says_so(browser: Any, served: Served) -> None:
    context = browser.new_context(base_url=served.url, locale="en-US")
    page = context.new_page()
    page.route("**/js/pages/sign_in.js", lambda route: route.abort())
    page.goto("/sign-in")
    expect(page.get_by_role("alert")).to_have_text(re.compile("has not loaded completely"))
    expect(page.locator("main[inert]")).to_have_count(1)
    page.unroute("**/js/pages/sign_in.js")
    page.reload()
    page.locator("main:not([inert])").wait_for()
    expect(page.get_by_text("has not loaded completely")).to_have_count(0)
    context.close()


def test_a_key_that_expires_while_one_works_leads_to_the_sign_in_page_and_back(
    open_page: Open, served: Served
) -> None:
    key_id, text = served.new_key(Role.OPERATOR)
    page = open_page("/diagnose", key=text)
    page.get_by_role("checkbox").first.check()
    page.set_input_files("#file", recording(served.root.parent / "while.wav"))
    KeyStore(served.root).revoke(key_id)
    page.get_by_role("button", name="Diagnose").click()
    page.wait_for_url("**/sign-in?why=over*")
    assert "expired" in page.get_by_role("status").first.inner_text()
    page.get_by_label("API key").fill(served.keys[Role.OPERATOR])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/diagnose")


def test_the_language_is_the_browsers_until_it_is_chosen(open_page: Open) -> None:
    page = open_page("/packages", locale="ko-KR")
    assert page.locator("html").get_attribute("lang") == "ko"
    assert page.locator("h1").inner_text() == "패키지"
    page.get_by_role("link", name="first").wait_for()
    assert page.get_by_role("cell", name="완료").first.is_visible()
    page.get_by_role("button", name="English").click()
    page.wait_for_url("**/packages")
    assert page.locator("h1").inner_text() == "Packages"
    page.goto("/models")
    assert page.locator("html").get_attribute("lang") == "en"


# --- packages


def test_a_package_goes_from_the_drop_to_its_report(open_page: Open, served: Served, tmp_path: Path) -> None:
    archive = machine_package(tmp_path / "Line 3 펌프.zip", seed=9)
    waiting = served.root / "inbox" / "acme" / "line-3.zip"
    page = open_page()
    lost = []

    def lose_the_first(route: Any) -> None:
        if route.request.method == "PATCH" and not lost:
            lost.append(route.request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/v1/uploads/*", lose_the_first)
    page.set_input_files("#file", archive)
    page.locator("#told").get_by_text("The connection was lost").wait_for()
    page.get_by_role("heading", name="Check of line-3").wait_for()
    assert "can be queued as it is" in page.locator("#checking").inner_text()
    assert "14 of 14 recordings" in page.locator("#checking").inner_text()
    assert not waiting.exists()
    page.get_by_role("button", name="Queue the package").click()
    page.get_by_role("link", name="Open its page").click()
    page.wait_for_url("**/packages/acme/line-3")
    page.locator("#state").get_by_text("waiting").wait_for()
    assert waiting.read_bytes() == archive.read_bytes()
    run_through(receive(served.root, waiting, package="line-3"), params=PARAMS)
    waiting.unlink()
    # the page hears of it by itself
    page.locator("#state").get_by_text("finished").wait_for()
    page.get_by_text("All 14 rows can be used.").wait_for()
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Open the report").click()
    popup.value.get_by_role("heading", name="Machine sound report").wait_for()
    page.get_by_role("link", name="Fan · 1").click()
    page.wait_for_url("**/models/section?*")


def test_problems_are_shown_before_anything_is_queued(open_page: Open, served: Served, tmp_path: Path) -> None:
    files, rows = machine_files(train=4, normal=1, anomaly=1)
    rows[1]["recorded_at"] = "<b>yesterday</b>"
    page = open_page()
    page.set_input_files("#file", zipped(tmp_path / "flawed.zip", {**files, "metadata.csv": table(rows)}))
    finding = page.locator(".finding").filter(has_text="row 3")
    finding.wait_for()
    assert "<b>yesterday</b>" in finding.inner_text()
    assert finding.locator("b").count() == 0
    page.get_by_role("button", name="Drop this upload").click()
    page.get_by_text("Nothing of it is kept").wait_for()
    assert not list((served.root / "inbox").rglob("flawed*"))
    page.reload()
    loaded(page)
    assert page.get_by_text("neither queued nor dropped").count() == 0


def test_a_package_that_would_be_refused_cannot_be_queued(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.set_input_files("#file", zipped(tmp_path / "no-table.zip", {"audio/1.wav": audio(hum(1))}))
    page.get_by_text("would be refused as it is").wait_for()
    assert page.get_by_role("button", name="Queue the package").count() == 0
    assert page.locator(".finding .badge").first.inner_text() == "stops the package"
    page.reload()
    page.get_by_text("neither queued nor dropped").wait_for()
    page.get_by_role("button", name="Drop this upload").click()


def test_a_file_that_is_no_zip_or_a_name_that_is_taken_is_told_in_place(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.evaluate("""() => {
        const carried = new DataTransfer();
        carried.items.add(new File(['hello'], 'notes.txt'));
        const place = document.getElementById('choose');
        place.dispatchEvent(new DragEvent('drop', {dataTransfer: carried, bubbles: true, cancelable: true}));
    }""")
    assert "notes.txt is not a zip" in page.get_by_role("alert").inner_text()
    page.get_by_label("Name of the package").fill("Line 3")
    page.set_input_files("#file", zipped(tmp_path / "x.zip", {"metadata.csv": table([row("audio/1.wav")])}))
    assert "cannot be the name" in page.get_by_role("alert").inner_text()
    page.get_by_label("Name of the package").fill("first")
    page.set_input_files("#file", tmp_path / "x.zip")
    page.get_by_text("cannot be done as things stand").wait_for()


def test_the_page_of_a_package_that_is_not_there_says_so(open_page: Open) -> None:
    page = open_page("/packages/acme/nothing")
    assert "no such package" in page.get_by_role("alert").inner_text()
    page.goto("/packages/other/first")
    assert "no such package" in page.get_by_role("alert").inner_text()


# --- diagnoses


def test_several_models_are_compared_on_one_recording(open_page: Open, tmp_path: Path) -> None:
    page = open_page("/diagnose")
    page.get_by_role("button", name="Diagnose").click()
    assert "recording first" in page.get_by_role("alert").inner_text()
    page.set_input_files("#file", recording(tmp_path / "bad fan.wav", faulty=True))
    default = page.locator(".found li").filter(has=page.get_by_text("default", exact=True))
    expect(default).to_have_count(1)
    assert default.get_by_role("checkbox").is_checked()
    page.get_by_label("Search models").fill("isolation")
    page.locator(".found li").filter(has_text="isolation_forest, second").get_by_role("checkbox").check()
    page.get_by_role("button", name="Diagnose").click()
    page.get_by_role("heading", name="Diagnosis of bad fan.wav").wait_for()
    expect(page.locator(".verdict")).to_have_count(2)
    assert (
        page.locator(".verdict").first.locator("svg[role=img]").get_attribute("aria-label").startswith("Severity")
    )
    assert page.locator(".verdict .says").first.inner_text().startswith("It sounds")
    assert page.locator(".verdict.CRITICAL, .verdict.WARNING").count() >= 1
    picture = page.locator(".picture")
    assert picture.locator("img").first.evaluate("image => image.complete && image.naturalWidth > 0")
    if picture.locator("img.map").is_visible():
        page.get_by_label("Show what is unusual").fill("20")
        assert picture.locator("img.map").evaluate("image => getComputedStyle(image).opacity") == "0.2"
    picture.click(position={"x": 600, "y": 50})
    assert page.locator(".sound audio").evaluate("player => player.currentTime") == pytest.approx(6.0, abs=1.0)
    page.get_by_role("radio").nth(1).check()


def test_who_sees_all_customers_is_told_whose_models_are_whose(open_page: Open, served: Served) -> None:
    key = KeyStore(served.root).add(Role.VIEWER, "*", "head office", None)[1]
    assert "acme" in open_page("/diagnose", key=key).locator(".found li").first.inner_text()
    assert "acme" not in open_page("/diagnose").locator(".found li").first.inner_text()


def test_a_file_that_is_no_recording_gets_no_verdict(open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "fake.wav").write_bytes(b"RIFF but not really")
    page = open_page("/diagnose")
    page.get_by_role("checkbox").first.check()
    page.set_input_files("#file", tmp_path / "fake.wav")
    page.get_by_role("button", name="Diagnose").click()
    assert "not a recording" in page.get_by_role("alert").inner_text()
    assert page.locator(".verdict").count() == 0


def test_the_microphone_is_recorded_without_loss_and_diagnosed(open_page: Open) -> None:
    page = open_page("/diagnose")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Record with the microphone").click()
    expect(page.locator("#clock")).to_have_text("0:02")
    page.get_by_role("button", name="Stop recording").click()
    page.locator("#chosen").get_by_text(".wav").wait_for()
    with page.expect_response("**/api/v1/diagnoses") as answered:
        page.get_by_role("button", name="Diagnose").click()
    heard = answered.value.json()["recording"]
    assert (heard["container"], heard["channels"]) == ("WAV", 1)
    assert heard["seconds"] == pytest.approx(2.5, abs=1.5)
    page.locator(".verdict").wait_for()


# --- models


def test_versions_are_compared_promoted_and_rolled_back(open_page: Open, served: Served) -> None:
    page = open_page("/models")
    page.get_by_role("link", name="Fan · 1").click()
    versions = page.locator("#versions tbody tr")
    versions.nth(1).wait_for()
    for place in range(2):
        versions.nth(place).get_by_role("checkbox").check()
    page.get_by_role("button", name="Compare the chosen").click()
    page.locator("#comparison tbody tr").first.wait_for()
    expect(page.locator("#comparison svg")).to_have_count(2)

    before = served.registry.champion(next(iter(served.registry.find())).section)
    assert before is not None
    button = page.get_by_role("button", name=re.compile("Put .* in use")).first
    name = button.get_attribute("aria-label")
    button.click()
    dialog = page.get_by_role("dialog")
    assert before.name in dialog.inner_text()
    page.keyboard.press("Escape")
    assert served.registry.champion(before.section) == before

    button.click()
    dialog.get_by_label("Reason").fill(HOSTILE)
    dialog.get_by_role("button", name="Put in use").click()
    page.locator("#told").get_by_text("is in use").wait_for()
    after = served.registry.champion(before.section)
    assert after is not None
    assert after.name in (name or "")
    page.locator("#history").get_by_text(HOSTILE).wait_for()
    assert "owned" not in page.title()

    page.get_by_role("button", name="Roll back").click()
    dialog.get_by_label("Reason").fill("it was better")
    dialog.get_by_role("button", name="Roll back").click()
    page.get_by_text("The version before is in use again").wait_for()
    restored = served.registry.champion(before.section)
    assert restored is not None
    assert restored.version == before.version


def test_reasons_of_the_registry_are_told_in_korean(open_page: Open, served: Served) -> None:
    version = served.registry.find()[0]
    figures = {"support": 3, "alarms_per_day": 9.0, "asked_per_day": 1.0, "sensitivity": 3.0}
    better = {"support": 9, "alarms_per_day": 1.0, "asked_per_day": 1.0, "sensitivity": -6.0}
    champion = replace(version, calibration=better, metrics={"auc": 0.9, "pauc": 0.8})
    reasons = [
        *objections(replace(version, calibration=figures, metrics={"auc": 0.7, "pauc": 0.6}), champion, RULE),
        *objections(version, replace(champion, pinned=True), RULE),
        *objections(replace(version, received_at="2020-01-01T00:00:00+00:00"), champion, RULE),
        *(event.why for event in served.registry.history() if event.who == "alp"),
    ]
    page = open_page("/models", locale="ko-KR")
    script = "async ([place, text]) => (await import(place)).reasonText(text)"
    told = [page.evaluate(script, [f"{STATIC_URL}/js/parts/reasons.js", reason]) for reason in reasons]
    assert "AUC 0.700(사용 중인 모델 0.900), 부분 AUC 0.600(사용 중인 모델 0.800)" in told[0]
    assert not [text for text in told if not text.endswith("니다.") and "성능이 낮습니다: " not in text]
    assert not re.search(r"calibrated|promises|hears|champion", " ".join(told))


def test_a_viewer_sees_models_but_no_way_to_change_them(open_page: Open) -> None:
    page = open_page(SECTION, key=Role.VIEWER)
    page.locator("#versions tbody tr").first.wait_for()
    assert page.get_by_role("button", name=re.compile("in use|Roll back")).count() == 0
    page.goto("/threshold")
    page.locator(".tile").first.wait_for()
    assert page.get_by_role("button", name="Save this threshold").count() == 0
    page.goto("/packages")
    loaded(page)
    assert page.get_by_role("button", name="Choose a file").count() == 0


def test_the_card_of_a_model_is_shown_and_described(open_page: Open, served: Served) -> None:
    model = next(iter(served.registry.find()))
    page = open_page(f"/models/{model.version}")
    page.get_by_role("heading", name=model.name).wait_for()
    page.get_by_label("Description").fill(HOSTILE)
    page.get_by_role("button", name="Save the description").click()
    page.get_by_text("The description is saved").wait_for()
    expect(page.locator("p.lead")).to_have_text(HOSTILE)
    page.goto("/models/0000000000000000")
    assert "no such model" in page.get_by_role("alert").inner_text()


# --- thresholds and feedback


def test_the_slider_reads_out_what_a_threshold_costs_and_catches_and_saves_it_with_a_note(
    open_page: Open, served: Served
) -> None:
    model = next(iter(served.registry.find()))
    page = open_page(f"/threshold?model={model.version}")
    tiles = page.locator(".tile dd")
    tiles.nth(3).wait_for()
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    page.keyboard.press("Home")
    expect(tiles.nth(2)).to_have_text("4 / 4")
    promised = tiles.first.inner_text()
    page.keyboard.press("End")
    expect(tiles.first).not_to_have_text(promised)
    page.get_by_role("button", name="Save this threshold").click()
    assert len(served.registry.thresholds(model.version)) == 1  # a note is required
    page.get_by_label("Why this threshold").fill("night shift")
    page.get_by_role("button", name="Save this threshold").click()
    page.get_by_text("Version 1 with threshold").wait_for()
    expect(page.get_by_role("row").filter(has_text="in force").filter(has_text="night shift")).to_have_count(1)
    assert served.registry.threshold(model.version) == pytest.approx(float(slider.input_value()), rel=1e-3)


def test_a_mark_on_an_alarm_is_kept_and_shown(open_page: Open, served: Served) -> None:
    page = open_page("/feedback?package=acme%2Ffirst")
    card = page.get_by_role("article").first
    card.wait_for()
    expect(card.locator("audio")).to_have_count(1)
    clip = card.get_attribute("aria-label")
    sound = page.request.get(card.locator("audio").get_attribute("src"))
    assert sound.headers["content-type"].startswith("audio/")
    card.get_by_label("false alarm").check()
    card.get_by_label("Note").fill(HOSTILE)
    card.get_by_role("button", name="Save").click()
    card.get_by_text("Saved as a false alarm").wait_for()
    page.locator("#marked").get_by_text(HOSTILE).wait_for()
    assert [(label.clip_id, str(label.label)) for label in served.registry.labels("acme", "first")] == [
        (clip, "normal")
    ]
    assert "owned" not in page.title()
    page.reload()
    page.get_by_text("Marked: false alarm").first.wait_for()


# --- for everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1200])
def test_pages_fit_their_window_and_tell_their_controls(open_page: Open, width: int, scheme: str) -> None:
    locale = "ko-KR" if scheme == "dark" else "en-US"
    page = open_page("/sign-in", viewport={"width": width, "height": 800}, color_scheme=scheme, locale=locale)
    for path in PAGES:
        page.goto(path)
        loaded(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(COMPLAINTS) == [], path


def test_the_keyboard_reaches_everything_in_order(open_page: Open) -> None:
    page = open_page("/packages")
    page.get_by_role("link", name="first").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break  # behind the last one
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", seen[-1]
    wanted = ["Packages", "Feedback", "Sign out", "English", "package", "choose"]
    places = [seen.index(name) if name in seen else seen.index(name.lower().replace(" ", "-")) for name in wanted]
    assert places == sorted(places)
