"""How Sphinx builds these pages; `make docs` does it. Nothing is fetched, when they are built or when they are read."""

from __future__ import annotations

import sys
from pathlib import Path

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
python_maximum_signature_line_length = 60
maximum_signature_line_length = 60
nitpicky = True
nitpick_ignore_regex = [
    # What is described elsewhere: the standard library, Pydantic, type variables, private names.
    ("py:.*", r"(collections|typing|asyncio|contextlib|types|enum|dataclasses|pydantic|typing_extensions)\..*"),
    ("py:.*", r"(weft\.\w+\.)?([A-Z]\d?|_\w+)|TypeForm|weft\.topology\..*"),
]

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
