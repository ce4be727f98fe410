"""A headless Chromium over the W3C WebDriver protocol, with the standard library alone.

The browser is optional: where there is none on the machine the tests that need it are skipped.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
#: Keys as WebDriver writes them.
KEYS = {
    "ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015",
    "Home": "\ue011", "End": "\ue010", "PageUp": "\ue00e", "PageDown": "\ue00f", "Tab": "\ue004",
    "Enter": "\ue007",
}  # fmt: skip
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1280,1000",
)  # fmt: skip
#: Counts the keys that the page gets, and comes back when it has been painted: a browser drops
#: what is pressed before that.
_READY = """
window.keys = 0;
addEventListener("keydown", () => { window.keys += 1; }, true);
const painted = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
return new Promise((then) => { painted(then); setTimeout(then, 2000); });
"""
_PRESSED = """
const [wanted, begun] = [arguments[0], Date.now()];
return new Promise((then) => {
  const look = () => window.keys >= wanted || Date.now() > begun + 1000
    ? then(window.keys) : setTimeout(look, 5);
  look();
});
"""
#: Texts whose contrast is below 4.5 to 1 (WCAG 2.1, level AA), with it.
CONTRAST = """
const parts = (c) => {
  const numbers = c.match(/[\\d.]+/g).map(Number);
  return c.startsWith("color(") ? numbers.slice(0, 3).map((v) => v * 255) : numbers.slice(0, 3);
};
const lum = (c) => {
  const [r, g, b] = parts(c).map((v) => {
    v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (c !== "rgba(0, 0, 0, 0)") return c;
  }
  return "rgb(255, 255, 255)";
};
const poor = [];
for (const e of document.querySelectorAll("body *")) {
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
  if (!e.offsetParent || e.closest("script, .sr, noscript, option")) continue;
  if (!e.checkVisibility({ contentVisibilityAuto: true })) continue;
  const a = lum(getComputedStyle(e).color), b = lum(ground(e));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) poor.push([e.outerHTML.slice(0, 80), ratio]);
}
return poor;
"""
#: How often keys are pressed of which none has come.
_TRIES = 5


def missing() -> str | None:
    """Why there can be no browser here; None where there can."""
    if shutil.which("chromedriver") is None:
        return "there is no chromedriver on this machine"
    if not any(map(shutil.which, _CHROMIUM)):
        return f"there is no Chromium on this machine ({', '.join(_CHROMIUM)})"
    return None


class Failed(Exception):
    """The browser refused a command."""


def _without_scripts(path: Path) -> Path:
    """A copy whose own policy allows none: the browser's switch alone can come too late."""
    text = path.read_text(encoding="utf-8")
    policy = """<meta http-equiv="Content-Security-Policy" content="script-src 'none'">"""
    changed = re.sub("(?i)<head>", lambda found: found[0] + policy, text, count=1)
    assert changed != text
    copy = path.with_name(f"without-scripts-{path.name}")
    copy.write_text(changed, encoding="utf-8")
    return copy


class Browser:
    """One session. ``profile``: an empty folder for its data."""

    def __init__(self, profile: Path) -> None:
        self.scripts = True
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        assert self._driver.stdout is not None
        self._root = ""
        for line in self._driver.stdout:
            found = re.search(r"successfully on port (\d+)", line)
            if found:
                self._root = f"http://127.0.0.1:{found[1]}"
                break
        if not self._root:
            self._driver.wait(20)
            raise Failed("chromedriver does not start")
        binary = next(path for path in map(shutil.which, _CHROMIUM) if path is not None)
        options = [*_OPTIONS, f"--user-data-dir={profile}"]
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": binary, "args": options},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        try:
            answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except Failed:
            self._end()
            raise
        self._session = f"/session/{answer['sessionId']}"

    def close(self) -> None:
        with contextlib.suppress(Failed, OSError):  # it is gone, and the driver goes now
            self._call("DELETE", self._session)
        self._end()

    def _end(self) -> None:
        self._driver.terminate()
        self._driver.wait(20)
        assert self._driver.stdout is not None
        self._driver.stdout.close()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._root + path, data, {"Content-Type": "application/json"}, method=method
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise Failed(error.read().decode()[:500]) from None

    def open(self, path: Path, mark: str = "") -> None:
        """Load a file, and drop what the log holds of pages before."""
        self.log()
        if not self.scripts:
            path = _without_scripts(path)
        self._call("POST", f"{self._session}/url", {"url": "about:blank"})
        self._call("POST", f"{self._session}/url", {"url": path.resolve().as_uri() + mark})
        if self.scripts:
            self.run(_READY)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function with this body returns in the page."""
        body = {"script": script, "args": list(arguments)}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def click(self, selector: str) -> None:
        """A real click in the middle of the first element that fits."""
        body = {"using": "css selector", "value": selector}
        element = self._call("POST", f"{self._session}/element", body)[ELEMENT]
        self._call("POST", f"{self._session}/element/{element}/click", {})

    def press(self, *keys: str) -> None:
        """Real key strokes, to whatever has the focus."""
        actions = []
        for key in keys:
            value = KEYS.get(key, key)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        body = {"actions": [{"type": "key", "id": "keys", "actions": actions}]}
        for _ in range(_TRIES):
            before = self.run("return window.keys")
            self._call("POST", f"{self._session}/actions", body)
            came = self.run(_PRESSED, before + len(keys)) - before
            if came:
                break
        if came != len(keys):
            raise Failed(f"{came} of {len(keys)} keys came to the page")

    def devtools(self, command: str, **parameters: Any) -> Any:
        body = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def scripting(self, on: bool) -> None:
        """Whether scripts run in the pages that are opened from now on."""
        self.devtools("Emulation.setScriptExecutionDisabled", value=not on)
        self.scripts = on

    def size(self, width: int, height: int) -> None:
        """The size of the page itself, which may be narrower than any window."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def prefer(self, scheme: str) -> None:
        """``light`` or ``dark``, as the system's setting."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.devtools("Emulation.setEmulatedMedia", features=[feature])

    def log(self) -> Sequence[dict[str, Any]]:
        """What the browser complained of since the last call."""
        return list(self._call("POST", f"{self._session}/se/log", {"type": "browser"}))

    def texts(self, selector: str) -> list[str]:
        """The text of all elements that fit, in the document's order."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        return list(self.run(script, selector))


@contextlib.contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """A browser, which ends with this. The tests are skipped where it does not start, as with a
    driver of another version than the browser, or on a machine that is locked down."""
    try:
        one = Browser(profile)
    except Failed as problem:
        pytest.skip(f"the browser does not start: {problem}")
    try:
        yield one
    finally:
        one.close()


@contextlib.contextmanager
def afresh(browser: Browser, width: int, height: int) -> Iterator[None]:
    """One test: it begins with pages of this size, light and with scripts, and ends without a
    complaint of the browser."""
    browser.size(width, height)
    browser.prefer("light")
    browser.scripting(True)
    yield
    browser.run("localStorage.clear()")
    assert not [entry for entry in browser.log() if entry["level"] == "SEVERE"]
