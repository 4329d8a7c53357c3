"""The status page in Chromium. Arguments: the page's address, a folder for screenshots, the refused source's address,
and a folder in which each step of ours is a file, for the test that makes things happen. Exit 0, or an exception."""

import pathlib
import sys

from playwright.sync_api import expect, sync_playwright

url, shots, stranger, steps = sys.argv[1], *map(str, sys.argv[2:5])
shots, steps = pathlib.Path(shots), pathlib.Path(steps)
SCRIPT = "<script>alert(1)</script>"
problems, requests, dialogs = [], [], []

# Contrast of a text with what lies behind it (WCAG 2.2, 1.4.3), for every element with a text of its own; a page
# that is wider than the window; and fields, buttons, pictures and regions with no name.
AUDIT = """() => {
  const channel = value => { value /= 255; return value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4; };
  const parts = colour => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.body.querySelectorAll('*')) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
    if (!own || !node.getClientRects().length || node.matches('script, style, noscript, title, .skip')) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parts(node instanceof SVGElement ? style.fill : style.color)), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) faint.push(`${node.tagName} "${node.textContent.trim().slice(0, 30)}" ${ratio.toFixed(2)}`);
  }
  return { faint, wide: document.documentElement.scrollWidth - innerWidth };
}"""


def reached(step):
    (steps / step).touch()


def audit(page, what):
    found = page.evaluate(AUDIT)
    assert not found["faint"], f"{what}: faint text: {found['faint']}"
    assert found["wide"] <= 0, f"{what}: {found['wide']} pixels wider than the window"


with sync_playwright() as playwright:
    # The sandbox of Chromium does not run as root.
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page = context.new_page()
    page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    state = page.get_by_role("status")
    expect(state).to_have_text("ENFORCING, some of it in AUDIT")
    expect(state).to_have_attribute("aria-live", "polite")

    # Live: a packet that is refused now is seen within seconds.
    refused = page.get_by_role("region", name="Refused sources")
    expect(refused.get_by_text(stranger)).to_have_count(0)
    dropped = page.locator("#totals .dropped dd")
    expect(dropped).to_have_text("0")
    reached("loaded")
    expect(refused.get_by_role("rowheader", name=stranger).first).to_be_visible(timeout=6000)
    expect(dropped).to_have_text("34", timeout=6000)
    expect(page.get_by_role("img", name="34 dropped")).to_be_visible(timeout=9000)
    expect(page.locator("#plot rect.dropped").first).to_be_attached()

    # What accessibility tools read.
    for heading in ["In force", "Packets", "Refused sources", "Who may reach what", "Peers", "History"]:
        expect(page.get_by_role("heading", level=2, name=heading, exact=True)).to_be_visible()
        expect(page.locator("section").and_(page.get_by_role("region", name=heading, exact=True))).to_be_visible()
    for landmark in ["banner", "main", "contentinfo"]:
        expect(page.get_by_role(landmark)).to_have_count(1)
    for table in ["Sources lately refused", "Segments and the services", "DICOM peers", "Policies that were in force"]:
        expect(page.get_by_role("table", name=table)).to_be_visible()
    expect(page.get_by_role("img", name="Segments and their services")).to_be_visible()
    expect(page.get_by_role("row", name="modalities dicom ")).to_be_visible()
    expect(page.get_by_role("row", name="viewers dicom-tls, dicomweb")).to_be_visible()
    expect(page.locator("#map path")).to_have_count(4)

    # Names are text.
    expect(page.get_by_role("cell", name=SCRIPT)).to_have_text(SCRIPT)
    expect(page.get_by_role("cell", name="<script>alert(1)", exact=True)).to_be_visible()

    # The keyboard: in this order, and each with a name.
    order = []
    page.locator("body").focus()
    for _ in range(8):
        page.keyboard.press("Tab")
        order.append(page.evaluate(
            "(() => { const at = document.activeElement; return at.id || at.getAttribute('aria-labelledby') || at.className })()"
        ))
    expected = ["skip", "pause", "filter", "refused-title", "reach-title", "peers-title", "history-title"]
    assert order[:7] == expected, f"the order of Tab: {order}"
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    filtered = page.get_by_label("Show only")
    filtered.fill("no such source")
    expect(page.locator("#refused-count")).to_have_text("0 of 2")
    filtered.fill("not-in-segment")
    expect(page.locator("#refused-count")).to_have_text("2 of 2")
    filtered.fill("")
    filtered.blur()

    for scheme in ["light", "dark"]:
        page.emulate_media(color_scheme=scheme)
        for width, height in [(1280, 800), (360, 740)]:
            page.set_viewport_size({"width": width, "height": height})
            audit(page, f"{scheme} {width}")
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=shots / f"page-{scheme}-{width}x{height}.png")
            page.screenshot(path=shots / f"page-{scheme}-{width}-whole.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 800})

    # Its policy holds: no script that is put in runs, and nothing is asked of another host.
    assert not problems, problems
    outcome = page.evaluate("""async () => {
      try { document.body.innerHTML += '<img src=x onerror=alert(1)>'; } catch (why) { return why.name; }
      return 'markup was taken';
    }""")
    assert outcome == "TypeError", outcome
    outcome = page.evaluate("""async () => {
      const script = document.createElement('script');
      try { script.textContent = 'alert(2)'; document.body.append(script); } catch (why) { return why.name; }
      return 'a script was taken';
    }""")
    assert outcome == "TypeError", outcome
    outcome = page.evaluate("fetch('http://localhost:9104/metrics').then(() => 'fetched', why => why.name)")
    assert outcome == "TypeError", outcome
    blocked = [text for text in problems if "Content Security Policy" in text or "TrustedHTML" in text or "Trusted" in text]
    assert len(blocked) == len(problems) >= 3, problems
    problems.clear()
    assert not dialogs, dialogs
    outside = [one for one in requests if not one.startswith(url) and not one.startswith("http://localhost:9104/")]
    assert not outside, outside

    # Paused, it says so and stays; then it goes on.
    pause = page.get_by_role("button", name="Pause")
    pause.press("Enter")
    expect(pause).to_have_attribute("aria-pressed", "true")
    expect(state).to_contain_text("PAUSED")
    pause.press("Enter")
    expect(state).to_have_text("ENFORCING, some of it in AUDIT")

    reached("seen")
    expect(state).to_have_text("BYPASS: nothing is refused", timeout=6000)
    warnings = page.get_by_role("list", name="Warnings")
    expect(warnings).to_contain_text(f"Bypassed, for: {SCRIPT}")
    expect(page.get_by_role("row", name="bypass").first).to_contain_text(SCRIPT)
    page.screenshot(path=shots / "page-bypass-1280x800.png")
    assert not dialogs and not problems, (dialogs, problems)

    # What is old is not shown as the state of now.
    reached("bypassed")
    expect(state).to_contain_text("NO ANSWER since", timeout=12000)
    assert page.locator("#bar").get_attribute("data-state") == "unknown"
    browser.close()
