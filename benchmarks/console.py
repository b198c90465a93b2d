"""The map of a generated system of 60 services in one process: how soon it is seen, and what looking costs."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.children import Child, free_port
from benchmarks.crowd import crowd, written
from benchmarks.report import Report

WHAT = "60 services of 12 teams, calls and events through a third of them each second; Chromium without a window"
PAINTS = 10
WATCHED_S = 60.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PAINTED = """() => new Promise((resolve) => {
  const look = () => document.querySelectorAll("#map .box").length === 60
    ? requestAnimationFrame(() => resolve(performance.now())) : requestAnimationFrame(look);
  look();
})"""


def measure(rounds: int) -> Report:
    """Ten first paints, each in a profile of its own; then a minute without the page, and one before it."""
    report = Report("console", WHAT)
    painted = report.new("until all 60 boxes are painted", "ms")
    server = report.new("server, beyond what it needs unseen", "% of a core")
    renderer = report.new("renderer", "% of a core")
    both = report.new("both", "% of a core")
    with tempfile.TemporaryDirectory(prefix="borough-bench-") as folder:
        root = written(Path(folder), crowd())
        port = free_port()
        words = ["-m", "borough", "run", str(root), "--data", f"{folder}/data", "--json"]
        with Child([*words, "--port", str(port)]) as it, sync_playwright() as playwright:
            it.said()
            page = f"http://127.0.0.1:{port}/console/#/map"
            browser = playwright.chromium.launch(
                executable_path=next(filter(None, map(shutil.which, _BROWSERS))),
                args=["--no-sandbox", "--disable-gpu"],
            )
            painted.values += [_painted_ms(browser, page) for _ in range(max(PAINTS, rounds))]
            unseen = _shares([it.pid])[0]
            tab = browser.new_page()
            tab.goto(page)
            tab.evaluate(_PAINTED)
            seen, *drawing = _shares([it.pid, *_renderers()])
            server.values.append(max(0.0, seen - unseen))
            renderer.values.append(sum(drawing))
            both.values.append(server.values[0] + renderer.values[0])
            browser.close()
    report.hold(painted, at_most=1000)
    report.hold(both, at_most=5)
    return report


def _painted_ms(browser: Browser, page: str) -> float:
    """From the beginning of the navigation, with nothing in a cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.goto(page)
    found = float(tab.evaluate(_PAINTED))
    context.close()
    return found


def _shares(processes: list[int]) -> list[float]:
    """How much of a core each process uses over a minute, in percent."""
    began, before = time.monotonic(), [_cpu_s(each) for each in processes]
    time.sleep(WATCHED_S)
    took = time.monotonic() - began
    return [
        (_cpu_s(each) - then) / took * 100 for each, then in zip(processes, before, strict=True)
    ]


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _renderers() -> list[int]:
    """The processes below this one that draw pages."""
    found: list[int] = []
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
            if b"--type=renderer" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has just ended
            continue
    return [each for each in found if _is_below(each, os.getpid(), parents)]


def _is_below(process: int, ancestor: int, parents: dict[int, int]) -> bool:
    while process in parents:
        process = parents[process]
        if process == ancestor:
            return True
    return False
