"""Write docs/licences.md: what comes along with `pip install 'dotflow[all]'`, and its licences.

Run it with the Python of such an environment: `PYTHON docs/licences.py`.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distributions
from pathlib import Path

PAGE = Path(__file__).with_name("licences.md")
HEAD = """# Licences

dotflow is under the Apache License 2.0. Its wheel contains htmx, under the Zero-Clause BSD licence.
`pip install 'dotflow[all]'` brings the packages below; a plain `pip install dotflow` brings fewer.
`.ci/release` writes a bill of materials with the versions (CycloneDX) beside the wheel.

| package | licence |
| --- | --- |
"""
LONG = 60
"""Characters; a longer text is the licence itself and not its name."""


def licence(one: Distribution) -> str:
    """The name of a package's licence, as its metadata says it."""
    said = one.metadata
    if expression := said.get("License-Expression"):
        return str(expression)
    classifiers = said.get_all("Classifier") or []
    names = [name.split(" :: ")[-1] for name in classifiers if name.startswith("License ::")]
    if names:
        return " or ".join(names)
    text = str(said.get("License") or "").strip()
    return text if 0 < len(text) < LONG else "see the package"


def licences() -> dict[str, str]:
    """The packages of this environment by name."""
    found = {
        re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): licence(one)
        for one in distributions()
    }
    return {name: found[name] for name in sorted(found) if name not in ("dotflow", "pip")}


if __name__ == "__main__":
    rows = "".join(f"| {name} | {said} |\n" for name, said in licences().items())
    PAGE.write_text(HEAD + rows, encoding="utf-8")
