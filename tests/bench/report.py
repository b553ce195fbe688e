# SPDX-License-Identifier: MIT
"""What is measured, as tables: on the terminal, in Markdown, and as figures with names.

A part of the report is a list of tables and of figures that stand in none. In a table's cell are all samples of one
quantity; it shows their median, and the least and the most of them. What has a name is a figure of build/bench.json.
"""
import statistics


class Table:
    """columns: (heading, digits behind the point). chart: see draw.py, or None."""

    def __init__(self, name, title, columns, notes=(), chart=None):
        self.data = {"name": name, "title": title, "columns": columns, "notes": list(notes), "chart": chart,
                     "rows": []}

    def add(self, label, *cells, own=False):
        """A cell: samples, or (key, samples), or None. own: it is hawser's row."""
        row = {"label": label, "own": own, "cells": []}
        for cell in cells:
            key, samples = cell if isinstance(cell, tuple) else (None, cell)
            if samples is not None and not isinstance(samples, list):
                samples = [samples]
            row["cells"].append(None if samples is None else {"key": key, "samples": samples})
        self.data["rows"].append(row)

    def note(self, text):
        self.data["notes"].append(text)


def median(cell):
    return statistics.median(cell["samples"])


def rounded(value):
    return value if isinstance(value, (int, str)) else round(value, 3)


def figures(part):
    """Of a part, by name."""
    flat = dict(part["figures"])
    for table in part["tables"]:
        for row in table["rows"]:
            flat.update((cell["key"], median(cell)) for cell in row["cells"] if cell and cell["key"])
    return {key: rounded(value) for key, value in flat.items()}


def samples_of(table):
    """How many samples the cells have, in words."""
    counts = {len(cell["samples"]) for row in table["rows"] for cell in row["cells"] if cell}
    most = max(counts)
    if most == 1:
        return None
    fewest = min(counts - {1})
    few = "%d" % most if fewest == most else "%d to %d" % (fewest, most)
    return "median of %s (least to most, where they differ)%s" % (
        few, "; some without were measured once" if 1 in counts else "")


def show(cell, digits):
    """(median, spread)"""
    if not cell:
        return "", ""
    values = cell["samples"]
    text = "{:,.{}f}".format
    least, most = text(min(values), digits), text(max(values), digits)
    return text(median(cell), digits), "(%s to %s)" % (least, most) if least != most else ""


def lines(table):
    """For the terminal."""
    rows = [[(row["label"], "")] + [show(cell, digits) for cell, (_, digits) in zip(row["cells"], table["columns"])]
            for row in table["rows"]]
    widths = [[max(len(row[i][half]) for row in rows) for half in (0, 1)] for i in range(len(rows[0]))]
    heads = [""] + [heading for heading, _ in table["columns"]]
    # A heading is as wide as it has to be.
    for width, head in zip(widths, heads):
        width[0] += max(0, len(head) - sum(width) - (width[1] > 0))
    text = [table["title"]]
    full = [sum(width) + (width[1] > 0) for width in widths]
    text.append("  " + "  ".join(head.rjust(n) for head, n in zip(heads, full)).rstrip())
    for row in rows:
        cells = [row[0][0].ljust(full[0])]
        for (value, spread), (one, two) in zip(row[1:], widths[1:]):
            cells.append(value.rjust(one) + (" " + spread.rjust(two) if two else ""))
        text.append("  " + "  ".join(cells).rstrip())
    return text + ["  " + note for note in [samples_of(table), *table["notes"]] if note]


def markdown(table, pictures):
    """pictures: the directory of the SVGs, as the document says it."""
    text = ["### %s" % table["title"], ""]
    if table["chart"]:
        text += ["![%s](%s/%s.svg)" % (table["title"], pictures, table["name"]), ""]
    text.append("| | %s |" % " | ".join(heading for heading, _ in table["columns"]))
    text.append("|---|" + "---:|" * len(table["columns"]))
    for row in table["rows"]:
        mark = "**" if row["own"] else ""
        cells = [mark + row["label"] + mark]
        for cell, (_, digits) in zip(row["cells"], table["columns"]):
            value, spread = show(cell, digits)
            cells.append((mark + value + mark + " " + spread).strip() if value else "")
        text.append("| %s |" % " | ".join(cells))
    text.append("")
    for note in [samples_of(table), *table["notes"]]:
        if note:
            text += [note[0].upper() + note[1:] + ("" if note.endswith(".") else "."), ""]
    return text
