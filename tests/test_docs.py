"""README and docs name what exists: files, modules, config keys and metrics."""

import ast
import importlib.util
import pathlib
import re

import pytest

from papo_jax.config import config_dict

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIG_KEYS = set(config_dict.list_keys(config_dict.default_config()))
SECTIONS = {key.partition(".")[0] for key in CONFIG_KEYS if "." in key}


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request) -> pathlib.Path:
    """Each page in turn."""
    return request.param


def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    for path, _, heading in (target.partition("#") for target in targets if "://" not in target):
        linked = page.parent / path if path else page
        assert linked.exists(), path
        if heading:
            titles = re.findall(r"^#+ (.+)$", linked.read_text(), flags=re.M)
            assert heading in {title.lower().replace(" ", "-") for title in titles}


def test_modules_can_be_run(page):
    for name in re.findall(r"python -m ((?:experiments|kernels|papo_jax)[\w.]*)", page.read_text()):
        assert importlib.util.find_spec(name), name


def test_config_keys_exist(page):
    text = page.read_text()
    dotted = re.findall(r"`(\w+\.[a-z_0-9]+)[=`]", text)
    named = {key for key in dotted if key.partition(".")[0] in SECTIONS}
    named |= set(re.findall(r"--config\.([a-z_0-9.]+)=", text))
    assert named - {"evaluation.json"} <= CONFIG_KEYS


def test_the_manual_lists_its_pages():
    index = (ROOT / "docs/README.md").read_text()
    assert set(re.findall(r"\]\((\w+\.md)\)", index)) == {
        page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md"
    }


def test_every_metric_is_explained():
    documented = set(re.findall(r"`([a-z_]+/[a-z_]+)`", (ROOT / "docs/logging.md").read_text()))
    prefixes = {key.partition("/")[0] for key in documented}
    literals = {
        node.value
        for file in (ROOT / "papo_jax").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    written = {
        text
        for text in literals
        if re.fullmatch(r"[a-z_]+/[a-z_]+", text) and text.partition("/")[0] in prefixes
    }
    made_by_name = {"time/rollout", "time/grade", "time/update", "time/diagnostics"}
    made_by_name |= {"entropy_change/polarity"}
    assert documented - made_by_name <= written
    inner = {"entropy_change/sum", "update/tried"}  # of single updates, not in a step's row
    assert written - inner <= documented
