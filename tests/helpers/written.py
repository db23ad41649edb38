"""A page at once, from all of its epochs."""

from segtrace.report.page.fitting import BUDGET
from segtrace.report.page.page import About, Page


def write_page(path, series, about=None, budget=BUDGET):
    """Write the page of one network, or of one training over its epochs; see :class:`Page`."""
    page = Page(about=about or About())
    for measured in series:
        page.add(measured)
    page.write(path, budget)
