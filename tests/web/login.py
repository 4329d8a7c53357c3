"""The status page beyond loopback in Chromium. Arguments: its address, its token. Exit 0, or an exception."""

import sys

from playwright.sync_api import expect, sync_playwright

url, token = sys.argv[1:]
problems = []

with sync_playwright() as playwright:
    # The sandbox of Chromium does not run as root.
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    # The test's certificate is nobody's.
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.on("console", lambda message: message.type in ("error", "warning") and problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))

    # Without the token: the form, and nothing else.
    answer = page.goto(url)
    assert answer.status == 401, answer.status
    field = page.get_by_label("Token")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("type", "password")
    expect(page.get_by_role("status")).to_have_count(0)
    assert page.evaluate("document.scripts.length") == 0

    # A wrong one is said, and leaves no session.
    field.fill("0" * 64)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("This is not the token.")
    assert not context.cookies(), context.cookies()

    # The right one, as pasted with a space, by the keyboard alone.
    page.goto(url)
    field.fill(f"{token} ")
    field.press("Enter")
    expect(page.get_by_role("status")).to_have_text("ENFORCING")
    expect(page.get_by_role("row", name="modality dicom")).to_be_visible()
    assert page.url == url, page.url
    [cookie] = context.cookies()
    assert cookie["name"] == "__Host-pacs-guard" and token not in cookie["value"], cookie
    assert cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Strict", cookie
    assert cookie["expires"] == -1 and cookie["path"] == "/", cookie
    # Only the answers 401 are there to be complained of.
    assert all("401" in text for text in problems), problems

    # Live, over the end of a stream and into the next one.
    clock = page.locator("#clock")
    first = clock.text_content()
    expect(clock).not_to_have_text(first, timeout=6000)
    page.wait_for_event("request", lambda request: request.url.endswith("/stream"), timeout=15000)
    expect(page.get_by_role("status")).to_have_text("ENFORCING")

    # A session that has ended leads back to the form.
    context.clear_cookies()
    expect(page.get_by_label("Token")).to_be_visible(timeout=20000)
    browser.close()
