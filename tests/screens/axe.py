"""What axe-core says of a page, and whether the page is wider than its window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.screens.chromium import MissingError

SCRIPT = Path(__file__).resolve().parents[1] / "interop" / "node_modules" / "axe-core" / "axe.min.js"
MISSING = "axe-core is not installed: npm ci --prefix tests/interop"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
_RUN = """async tags => {
    const found = await axe.run(document, {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]});
    return found.violations.map(({id, help, nodes}) => ({
        rule: id, help, nodes: nodes.map(node => ({where: node.target.flat().join(" "), why: node.failureSummary})),
    }));
}"""
_OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass(frozen=True)
class Violation:
    """One node that breaks a rule."""

    view: str
    rule: str
    node: str
    why: str

    def __str__(self) -> str:
        return f"{self.view}: {self.rule} at {self.node}: {self.why}"


def read_axe() -> str:
    """Return axe-core's source. Raises MissingError."""
    if not SCRIPT.exists():
        raise MissingError(MISSING)
    return SCRIPT.read_text()


def find_violations(page: Page, view: str, axe: str) -> list[Violation]:
    """Return what is wrong with the page as it stands."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate(_RUN, list(TAGS))
    violations = [
        Violation(view, rule["rule"], node["where"], " ".join(f"{rule['help']}. {node['why']}".split()))
        for rule in found
        for node in rule["nodes"]
    ]
    wider = page.evaluate(_OVERFLOW)
    if wider > 0:
        violations.append(Violation(view, "reflow", "html", f"The page is {wider} px wider than its window"))
    return violations
