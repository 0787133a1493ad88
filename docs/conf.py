"""The documentation site: python -m sphinx -W --keep-going -c docs . site

The source folder is the repository's root, so that links from page to page, to the README and to
results are the same on the site, in a checkout and on a code host.
"""

import contextlib
import io
import logging
import os
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from algd_jax import __version__
from algd_jax.cli import main

logging.basicConfig()  # Before a package of the theme does, which would show all of INFO.

project = "algd-jax"
version = release = __version__
author = "the algd-jax authors"
copyright = "the algd-jax authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**",
    "benchmarks/*.md",
    "experiments/*.md",
    "experiments/**/*.md",
    "algd_jax/pretrained/*/README.md",
]
exclude_patterns = ["experiments/results/convexification/*"]
nitpicky = True  # What docstrings refer to exists; types come from signatures, many foreign ones.
nitpick_ignore_regex = [("py:(class|data|exc|obj)", ".*")]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
highlight_language = "none"

default_role = "code"
autodoc_default_options = {"special-members": "__call__"}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # The signature has them, and shorter.

html_theme = "furo"
html_title = f"algd-jax {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_root"]
html_copy_source = False
html_show_search_summary = False  # It would fetch pages, which a browser refuses for files.
html_show_sphinx = False
html_use_index = False
html_domain_indices = False

SHARED = re.compile(r"^ +\w+(, \w+)+:")


class CommandHelp(SphinxDirective):
    """What `algd [COMMAND] --help` prints."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            main([*self.arguments, "--help"])
        return [nodes.literal_block(text=output.getvalue(), language="none")]


def is_generated(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool:
    """Leave out what record types add by themselves to what is documented as attributes."""
    text = getattr(member, "__doc__", None) or ""
    return skip or name == "replace" or text.startswith("Alias for field number")


def keep_names_together(
    app: Sphinx, what: str, name: str, member: Any, options: Any, lines: list[str]
) -> None:
    """Attributes that share a text: `a, b: text` would be read as the type `a,` of `b`."""
    lines[:] = [SHARED.sub(lambda names: names[0].replace(", ", ","), line) for line in lines]


def setup(app: Sphinx) -> None:
    os.environ["COLUMNS"] = "96"  # How wide help is printed.
    app.connect("autodoc-skip-member", is_generated)
    app.connect("autodoc-process-docstring", keep_names_together, priority=400)  # Before napoleon.
    app.add_directive("command-help", CommandHelp)
