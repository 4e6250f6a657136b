"""Drive a real Chromium, headless: what it shows, what it reports of the page's policy, and what it tries to load."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

FLAGS: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

PATIENCE: Final = 30


#: How many milliseconds it takes from another address until what an element matches is painted.
PAINTED: Final = """
    const [hash, selector, done] = arguments;
    const began = performance.now();
    const look = () => {
        const found = document.querySelector(selector);
        if (found === null) return setTimeout(look, 1);
        requestAnimationFrame(() => {
            const painted = new MessageChannel();
            painted.port1.onmessage = () => done(performance.now() - began);
            painted.port2.postMessage(0);
        });
    };
    location.hash = hash;
    look();
"""


class Browser:
    """A browser with one page.

    Args:
        driver: what drives it.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def size(self, width: int, height: int = 900) -> None:
        """Give the page a size; a window cannot be as narrow as a telephone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def theme(self, name: str) -> None:
        """Have the system be dark or light."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url: str) -> None:
        """Open a page, and wait until its view is there."""
        self.driver.get(url)
        self.settled()

    def go(self, hash: str) -> None:
        """Go to another view of the page."""
        self.script("document.querySelector('#view').firstChild.dataset.old = ''; location.hash = arguments[0]", hash)
        self.until("return document.querySelector('#view').firstChild.dataset.old === undefined")
        self.settled()

    def painted(self, hash: str, selector: str) -> float:
        """Return how many milliseconds it takes to go to another view, until an element of it is painted."""
        took: float = self.driver.execute_async_script(PAINTED, hash, selector)
        self.settled()
        return took

    def settled(self) -> None:
        """Wait until the view is made."""
        self.until(
            "const view = document.querySelector('#view');"
            "return view && view.firstChild && !view.hasAttribute('aria-busy') && !document.querySelector('.waiting')"
            " && !(document.querySelector('.found') || {textContent: ''}).textContent.startsWith('…')"
        )

    def until(self, script: str, *arguments: Any) -> Any:
        """Wait until a script returns something that is true, and return that."""
        return WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: self.script(script, *arguments))

    def script(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    @property
    def text(self) -> str:
        """What the page shows."""
        text: str = self.script("return document.body.innerText")
        return text

    def picture(self, path: Path) -> None:
        """Keep what the page looks like."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(path))

    def loaded(self) -> list[str]:
        """The hosts that the page has asked for something since the last look, and the schemes that have none."""
        hosts = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                parts = urlsplit(message["params"]["request"]["url"])
                if not parts.scheme.startswith("chrome"):  # the empty page that it starts with
                    hosts.append(parts.netloc or f"{parts.scheme}:")
        return hosts

    def complaints(self) -> list[str]:
        """What the page has complained about since the last look, as of its policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium of Debian, with a profile of its own."""
    profile = tempfile.mkdtemp(prefix="mellite-browser-")
    options = Options()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    os.environ["SE_AVOID_STATS"] = "true"
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver") or "chromedriver"))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)
