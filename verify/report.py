"""What the verification answers: findings by rule and subject, counts, and the report file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong. Holds names, ids and hashes, never content or keys."""

    rule: str
    subject: str
    detail: str


@dataclass(frozen=True)
class Report:
    """The verdict: right if nothing was found."""

    counts: Mapping[str, int]
    findings: Sequence[Finding]

    @property
    def is_ok(self) -> bool:
        """Say whether everything is right."""
        return not self.findings

    def write(self, path: Path) -> None:
        """Write `{"ok": bool, "counts": {…}, "findings": [{"rule", "subject", "detail"}]}`."""
        content = {
            "ok": self.is_ok,
            "counts": dict(self.counts),
            "findings": [asdict(finding) for finding in self.findings],
        }
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def show(self) -> None:
        """Print each finding on a line of its own, then the sum."""
        for finding in self.findings:
            print(f"{finding.rule}  {_clean(finding.subject)}  {_clean(finding.detail)}")
        counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.counts.items())
        verdict = "all right" if self.is_ok else f"{len(self.findings)} findings"
        print(f"verify: {verdict}: {counted}")


def _clean(text: str) -> str:
    """Escape what a stranger may have put into a URL on chain or an object's key."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


class Progress:
    """Says on stderr what is being done, once that takes longer than two seconds."""

    def __init__(self, quiet_s: float = 2.0) -> None:
        self._quiet_s = quiet_s
        self._said = time.monotonic()

    def say(self, what: str) -> None:
        """Say `what`, unless something was said or begun a moment ago."""
        if time.monotonic() - self._said >= self._quiet_s:
            self._said = time.monotonic()
            print(f"verify: {what} …", file=sys.stderr, flush=True)
