"""How Sphinx builds these pages; `make docs` does it. Nothing is fetched, when they are built or when they are read."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import weft

sys.path.append(str(Path(__file__).parent))

project = "Weft"
author = "Weft contributors"
release = version = weft.__version__
html_title = f"Weft {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "commands"]
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

# --- The reference

default_role = "literal"  # docstrings say `name`
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
maximum_signature_line_length = 88
nitpicky = True
nitpick_ignore_regex = [
    # What is described elsewhere: the standard library, Pydantic, PydanticAI, DSPy, type variables, private names.
    (
        "py:.*",
        r"(collections|typing|asyncio|contextlib|types|enum|dataclasses|os|re|pydantic|dspy|typing_extensions)\..*",
    ),
    (
        "py:.*",
        r"(weft\.[\w.]+\.)?([A-Z]\d?|Model|OutputMode|Routing|Topology|_\w+)|TypeForm|weft\.(_\w+|backends\._\w+|topology|render)\..*",
    ),
]


def _one_signature_each(_app: Sphinx) -> None:
    """Leave overloads to type checkers: people want one signature."""
    for module in ("weft.graph", "weft.nodes"):
        analyser = ModuleAnalyzer.for_module(module)
        analyser.analyze()
        analyser.overloads.clear()


def _without_signature(_app: Sphinx, what: str, name: str, *details: object) -> tuple[str, None] | None:
    """Nobody makes an error or an event, and some signatures say nothing: what there is to know is told below."""
    signature = details[2]
    if not isinstance(signature, str):
        return None
    is_event = what == "class" and name.startswith("weft.events.")
    says_nothing = "<factory>" in signature or signature == "(*args, **kwargs)"
    return ("", None) if what == "exception" or is_event or says_nothing else None


def setup(app: Sphinx) -> None:
    """Connect the two with autodoc."""
    app.connect("builder-inited", _one_signature_each)
    app.connect("autodoc-process-signature", _without_signature)


# --- The pages

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["weft.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
