"""What the page on metrics shows of the rules is in the file that promtool checks."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guides" / "metrics.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((ROOT / "observability" / "dotflow.rules.yml").read_text(encoding="utf-8"))


def rules(document):
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_the_rules_on_the_page_are_those_of_the_file():
    """Whoever copies from the page gets what `.ci/stack` has tried."""
    [block] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    shown = rules(yaml.safe_load(block))
    assert len(shown) == 2
    assert all(rule in rules(RULES) for rule in shown)


def test_the_page_names_each_alert():
    """The table has every alert of the file, and no other."""
    assert set(re.findall(r"^\| `(Dotflow\w+)`", PAGE, re.MULTILINE)) == {
        rule["alert"] for rule in rules(RULES) if "alert" in rule
    }
