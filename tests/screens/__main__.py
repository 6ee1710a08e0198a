"""./run screens: every page of the admin as PNGs, for phone and desk, light and dark; and what axe says of each."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.screens import chromium
from tests.screens.axe import Violation, find_violations, read_axe
from tests.screens.chromium import SCHEMES, WIDTHS, MissingError, visit
from tests.screens.showroom import ROOT, Showroom, ShowroomError, View, open_showroom

SHOTS = ROOT / "docs" / "screenshots"
HIGHEST = 12_000  # Chromium draws no higher window
README = {"index": "overview.png", "dataunion_syncjob_changelist": "open-work.png"}


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if axe has nothing to say of any page."""
    options = _parse(argv)
    started = time.monotonic()
    try:
        axe = read_axe()
        chromium.find_chromium()
        print("Opening a DataUnion of its own, with records, failures and local doubles of its partners", flush=True)
        with open_showroom(patiently=True) as showroom, chromium.start_chromium() as browser:
            if options.readme:
                return _take_readme(browser, showroom)
            folder = options.folder or Path(tempfile.mkdtemp(prefix="dataunion-screens-"))
            folder.mkdir(parents=True, exist_ok=True)
            views = _choose(showroom.views, options.only)
            violations = [found for scheme in SCHEMES for found in _take(browser, showroom, views, scheme, folder, axe)]
    except (MissingError, ShowroomError) as error:
        print(error, file=sys.stderr)
        return 2
    for violation in violations:
        print(violation)
    print(f"{len(views) * 4} pictures of {len(views)} pages in {time.monotonic() - started:.0f} s: {folder}")
    print(f"axe: {len(violations)} violation{'s' * (len(violations) != 1)} on {len(views)} pages")
    return 1 if violations else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run screens", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the PNGs go; default: a new folder of its own")
    parser.add_argument("--only", metavar="WORD", default="", help="only pages whose name holds this word")
    parser.add_argument("--readme", action="store_true", help="only take README's two, into docs/screenshots")
    return parser.parse_args(argv)


def _choose(views: Iterable[View], only: str) -> list[View]:
    return [view for view in views if only in view.name]


def _take(
    browser: Browser, showroom: Showroom, views: Sequence[View], scheme: str, folder: Path, axe: str
) -> list[Violation]:
    """Take every page in one scheme of colours, at each width; return what axe found."""
    with visit(browser, showroom, scheme=scheme) as inside, visit(browser, showroom, scheme=scheme) as outside:
        pages = {True: inside.new_page(), False: outside.new_page()}
        chromium.sign_in(pages[True])
        found = []
        for view in views:
            print(f"  {view.name}, {scheme}", flush=True)
            found += _take_view(pages[view.signed_in], view, scheme, folder, axe)
    return found


def _take_view(page: Page, view: View, scheme: str, folder: Path, axe: str) -> list[Violation]:
    found = []
    chromium.show(page, view)
    for width in WIDTHS:
        name = f"{view.name}-{width}-{scheme}"
        page.set_viewport_size({"width": width, "height": chromium.HEIGHT})
        found += find_violations(page, name, axe)
        # A window as high as its page: else what sticks to the window's end stands in the middle of the picture.
        height = page.evaluate("() => document.documentElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": min(height, HIGHEST)})
        page.screenshot(path=folder / f"{name}.png")
    return found


def _take_readme(browser: Browser, showroom: Showroom) -> int:
    """Take the two pictures that README shows, of what a wide screen shows without scrolling."""
    with visit(browser, showroom) as context:
        page = context.new_page()
        chromium.sign_in(page)
        for view in showroom.views:
            if view.name in README:
                chromium.show(page, view)
                page.screenshot(path=SHOTS / README[view.name])
                print(f"Wrote {SHOTS / README[view.name]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
