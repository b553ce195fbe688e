# SPDX-License-Identifier: MIT
"""Pictures of the report's tables, as SVG. What is hawser's is blue, what stands beside it is grey.

A table's chart says what is drawn of it:

    {"kind": "bars", "columns": [0, 1]}         a panel for each of these columns, a bar for each row; with
                                                "log": True dots on a logarithmic axis
    {"kind": "curves", "panels": [{"title": "...", "columns": [1, 2], "names": ["hawserd", "rsyslogd"]}]}
                                                what the columns are over the rows' labels, which are numbers; the
                                                first name is hawser's; "log": True as above

"title" takes the place of the table's. Spreads are thin lines.
"""
import math
import statistics
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 960, 24, 936
INK, FAINT, GRID, OWN, PEER = "#1c2430", "#6b7683", "#dde2e8", "#1f77c9", "#aab3be"
SHADES = [OWN, "#17a398"]        # of curves that are hawser's
LETTER = 7.8             # pixels, more than most letters have, bold ones too
ROW, BAR = 30, 18


def text(x, y, words, anchor="start", size=13, fill=INK, weight=None):
    """With a halo: lines end before it."""
    return ('<text x="%.1f" y="%.1f" font-size="%d" fill="%s" text-anchor="%s" stroke="#fff" stroke-width="4" '
            'paint-order="stroke"%s>%s</text>') % (
        x, y, size, fill, anchor, ' font-weight="%s"' % weight if weight else "", escape(words))


def box(x, y, width, height, fill):
    return '<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" fill="%s"/>' % (
        x, y, max(width, 1.5), height, fill)


def line(x1, y1, x2, y2, stroke=GRID, width=1):
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%g"/>' % (
        x1, y1, x2, y2, stroke, width)


def dot(x, y, fill, r=4):
    return '<circle cx="%.1f" cy="%.1f" r="%g" fill="%s"/>' % (x, y, r, fill)


def document(height, title, body):
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" ' % (
        WIDTH, height, WIDTH, height)
    return "\n".join([head + 'font-family="system-ui, Helvetica, Arial, sans-serif">',
                      '<rect width="100%" height="100%" fill="#fff"/>',
                      text(LEFT, 34, title, size=17, weight=600), *body, "</svg>"]) + "\n"


def number(value):
    """Three digits, as people write them."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return "{:,.{}f}".format(value, digits)


class Axis:
    """From values to pixels, with its ticks: from 0, or logarithmic."""

    def __init__(self, values, start, end, log=False):
        self.start, self.end, self.log = start, end, log
        if log:
            least = min(value for value in values if value > 0)
            self.low = 10 ** math.floor(math.log10(least) + 1e-9)
            self.high = 10 ** math.ceil(math.log10(max(values)) - 1e-9)
            self.high = max(self.high, self.low * 10)
            self.ticks = [self.low * 10 ** i for i in range(round(math.log10(self.high / self.low)) + 1)]
        else:
            most = max(values) or 1
            step = 10 ** math.floor(math.log10(most))
            step = next(step * part for part in (0.25, 0.5, 1, 2, 2.5) if most / (step * part) <= 4.6)
            self.ticks = [i * step for i in range(math.ceil(most / step - 1e-9) + 1)]
            self.low, self.high = 0, self.ticks[-1]

    def at(self, value):
        if self.log:
            part = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            part = value / self.high
        return self.start + part * (self.end - self.start)

    def names(self):
        def name(tick):
            return "%gM" % (tick / 1e6) if tick >= 1e6 else "%gk" % (tick / 1e3) if tick >= 1e5 else \
                "{:,g}".format(round(tick, 9))
        return [(tick, name(tick)) for tick in self.ticks]


def of(cell):
    values = cell["samples"]
    return statistics.median(values), min(values), max(values)


# --- bars ----------------------------------------------------------------------------------------------------------

def bar(row, cell, axis, y):
    middle, low, high = of(cell)
    fill, end = OWN if row["own"] else PEER, axis.at(high)
    if axis.log:
        body = [line(axis.start, y, axis.end, y), dot(axis.at(middle), y, fill, 6)]
    else:
        body = [box(axis.start, y - BAR / 2, axis.at(middle) - axis.start, BAR, fill)]
    if high - low > 0.005 * high:
        body.append(line(axis.at(low), y, axis.at(high), y, INK, 1.5))
    weight = 600 if row["own"] else None
    return body + [text(max(end, axis.at(middle)) + (11 if axis.log else 6), y + 4.5, number(middle), weight=weight)]


def bars(table, chart):
    columns, log = chart["columns"], chart.get("log", False)
    rows = [row for row in table["rows"] if any(row["cells"][column] for column in columns)]
    names = LEFT + LETTER * max(len(row["label"]) for row in rows) + 12
    wide = (RIGHT - names) / len(columns)
    bottom = 84 + ROW * len(rows)
    body = [text(names - 12, 84 + ROW * i + 20, row["label"], "end", weight=600 if row["own"] else None)
            for i, row in enumerate(rows)]
    for i, column in enumerate(columns):
        cells = [(row, row["cells"][column]) for row in rows]
        values = [of(cell)[2] for _, cell in cells if cell] + [of(cell)[1] for _, cell in cells if cell]
        axis = Axis(values, names + wide * i, names + wide * (i + 1) - 70, log)
        body.append(text(axis.start, 70, table["columns"][column][0], size=13, fill=FAINT))
        for tick, name in axis.names():
            body += [line(axis.at(tick), 80, axis.at(tick), bottom),
                     text(axis.at(tick), bottom + 15, name, "middle", 11, FAINT)]
        for at, (row, cell) in enumerate(cells):
            if cell:
                body += bar(row, cell, axis, 84 + ROW * at + 15)
    return bottom + 30, body


# --- curves --------------------------------------------------------------------------------------------------------

def panel(table, spec, left, right, top, bottom):
    rows = [(float(row["label"].replace(",", "")), row) for row in table["rows"]]
    series = [[(n, *of(row["cells"][column])) for n, row in rows if row["cells"][column]]
              for column in spec["columns"]]
    along = Axis([n for n, _ in rows], left + 52, right - 20, True)
    up = Axis([high for points in series for *_, high in points] +
              [low for points in series for _, _, low, _ in points], bottom, top, spec.get("log", False))
    body = [text(left, top - 34, spec["title"], weight=600)]
    for tick, name in up.names():
        body += [line(along.start, up.at(tick), along.end, up.at(tick)),
                 text(along.start - 8, up.at(tick) + 4, name, "end", 11, FAINT)]
    for tick, name in along.names():
        body += [line(along.at(tick), bottom, along.at(tick), bottom + 4),
                 text(along.at(tick), bottom + 17, name, "middle", 11, FAINT)]
    at = left
    for i, (points, name) in enumerate(zip(series, spec["names"])):
        fill = FAINT if i >= spec.get("own", 1) else SHADES[i]
        body += [box(at, top - 25, 10, 10, fill), text(at + 15, top - 16, name, size=11)]
        at += 15 + 6.2 * len(name) + 16
        body.append('<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>' % (
            fill, " ".join("%.1f,%.1f" % (along.at(n), up.at(middle)) for n, middle, *_ in points)))
        for n, middle, low, high in points:
            body += [line(along.at(n), up.at(low), along.at(n), up.at(high), fill, 1.5),
                     dot(along.at(n), up.at(middle), fill)]
        n, middle, *_ = points[-1]
        body.append(text(along.at(n) + 2, up.at(middle) - 9, number(middle), "end", 12, fill, 600))
    return body


def curves(table, chart):
    body, wide, high = [], (RIGHT - LEFT + 24) / 2, 260
    for i, spec in enumerate(chart["panels"]):
        left, top = LEFT + wide * (i % 2), 100 + high * (i // 2)
        body += panel(table, spec, left, left + wide - 24, top, top + 160)
    bottom = 100 + high * ((len(chart["panels"]) + 1) // 2) - 60
    return bottom, body + [text(RIGHT, bottom - 8, chart["along"], "end", 11, FAINT)]


KINDS = {"bars": bars, "curves": curves}


def picture(table):
    chart = table["chart"]
    height, body = KINDS[chart["kind"]](table, chart)
    return document(height, chart.get("title", table["title"]), body)
