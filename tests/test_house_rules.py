"""What the house agreed on and a machine can see: sizes, names that must meet, pages that must not lag behind."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings
from django.contrib.staticfiles import finders

from dataunion.conf import Conf
from dataunion.state import MOVES
from dataunion.sync import dispatch
from partners import registry

ROOT = Path(__file__).resolve().parents[1]
ROOTS = ("dataunion", "partners", "demo", "verify", "benchmarks", "dataunion_project")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 40
ARCHITECTURE = ROOT / "ARCHITECTURE.md"


def sources() -> Iterator[Path]:
    """Yield every file of ours; migrations are Django's."""
    for root in ROOTS:
        for path in sorted((ROOT / root).rglob("*.py")):
            if not {"migrations", "mongo_migrations"} & set(path.parts):
                yield path


def table(page: Path) -> list[list[str]]:
    """Return the cells of every row of a page's tables."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


# --- sizes


def test_no_file_is_longer_than_400_lines() -> None:
    too_long = {str(path.relative_to(ROOT)): n for path in sources() if (n := _count_lines(path)) > MAX_FILE_LINES}

    assert too_long == {}


def _count_lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_no_function_is_longer_than_40_lines() -> None:
    too_long = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    too_long[f"{path.relative_to(ROOT)}:{node.name}"] = length

    assert too_long == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(p.relative_to(ROOT)) for p in sources() if p.read_text().strip() and not _docstring(p)]

    assert silent == []


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text()))


# --- partners


@pytest.mark.parametrize("name", sorted(registry.BACKENDS))
def test_every_adapter_is_held_to_the_contract(name: str) -> None:
    tests = (ROOT / "tests" / "partners" / name).glob("test_*.py")

    assert any(re.search(r"class \w+\(.*PartnerContract\)", path.read_text()) for path in tests)


@pytest.mark.parametrize("name", sorted(registry.BACKENDS))
def test_every_adapter_has_a_page_that_names_its_options(name: str) -> None:
    page = (ROOT / "docs" / "partners" / f"{name}.md").read_text()

    missing = [option.name for option in registry.load(name).options if f"`{option.name}`" not in page]

    assert missing == []


# --- settings


def test_the_settings_page_lists_each_field_with_its_default() -> None:
    rows = {cells[0]: cells[1] for cells in table(ROOT / "docs" / "settings.md") if len(cells) == 3}
    listed = {name: default for name, default in rows.items() if re.fullmatch(r"[\d.]+", default)}

    assert listed == {f"DATAUNION_{field.name.upper()}": str(field.default) for field in fields(Conf)}


def test_the_settings_page_lists_each_other_variable() -> None:
    tree = ast.parse((ROOT / "dataunion_project" / "settings.py").read_text())
    read = {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "_read"
        and isinstance(call.args[0], ast.Constant)
    }
    listed = {cells[0] for cells in table(ROOT / "docs" / "settings.md")}

    assert "DATABASE_URL" in read
    assert sorted(map(str, read - listed)) == []


def test_only_the_settings_and_the_programs_around_them_read_the_environment() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for root in ("dataunion", "partners")
        for path in sorted((ROOT / root).rglob("*.py"))
        if "sandbox" not in path.parts and re.search(r"os\.environ|os\.getenv", path.read_text())
    ]

    assert readers == []


# --- tasks


def test_tasks_that_are_sent_by_name_are_those_that_are_registered() -> None:
    import dataunion.tasks  # noqa: F401 - registers them

    sent = {dispatch.PUSH, *(row["task"] for row in settings.CELERY_BEAT_SCHEDULE.values())}

    assert sent == {name for name in current_app.tasks if name.startswith("dataunion.")}


# --- pages


_OF_DJANGO = {"addlink", "colM"}  # names of Django's, which say what an element is and not how it looks


def _read_classes(page: Path) -> set[str]:
    plain = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", " ", page.read_text())
    return {word for words in re.findall(r'class="([^"]*)"', plain) for word in words.split()}


def test_templates_use_only_classes_that_a_stylesheet_has() -> None:
    sheets = [
        Path(finders.find(name) or name).read_text() for name in ("unfold/css/styles.css", "dataunion/access.css")
    ]
    named = {re.sub(r"\\(.)", r"\1", name) for css in sheets for name in re.findall(r"\.((?:\\.|[\w-])+)", css)}

    used = {name: page.name for page in (ROOT / "templates").rglob("*.html") for name in _read_classes(page)}

    assert {name: page for name, page in used.items() if name not in named | _OF_DJANGO} == {}


# --- states


def test_the_architecture_page_tells_the_moves_as_they_are() -> None:
    told = [cells[:4] for cells in table(ARCHITECTURE) if re.fullmatch(r"[a-z]", cells[0])]

    expected = [
        [letter, name, ", ".join(sorted(sources)), end]
        for letter, (name, (sources, end)) in zip("abcdefghijklmnopqrstuvwxyz", MOVES.items(), strict=False)
    ]
    assert [[letter, name, ", ".join(sorted(start.split(", "))), end] for letter, name, start, end in told] == expected


@pytest.mark.parametrize("page", sorted(p.relative_to(ROOT).as_posix() for p in ROOT.rglob("docs/**/*.md")))
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = [
        t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in t and not t.startswith("#")
    ]

    missing = [target for target in targets if not ((ROOT / page).parent / target).exists()]

    assert missing == []
