"""A hook of the site: Sphinx's roles in docstrings, ``:class:`~a.b.C```, as links to the API."""

import re

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):<code>(~?)([\w.]+)</code>")


def on_page_content(html: str, **_: object) -> str:
    """A page's HTML; what the API page does not hold becomes the bare name."""
    return ROLE.sub(_link, html)


def _link(found: re.Match[str]) -> str:
    short, name = found.groups()
    shown = name.rpartition(".")[2] if short else name
    return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'
