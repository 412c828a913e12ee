# SPDX-License-Identifier: GPL-2.0-only
"""How a memory map looks: colours for light and dark, and the patterns that tell marks apart without any colour."""

from typing import NamedTuple

from reports.svg import FONT, element

TINTS = 6
"""How many tints there are: slots with different ids differ in tint where they can."""


class _Colours(NamedTuple):
    """Of one appearance. `bad` is what is wrong; a slot is filled with a tint and has its edge."""

    paper: str
    ink: str
    soft: str
    line: str
    track: str
    bad: str
    tints: tuple[str, ...]
    edges: tuple[str, ...]


_LIGHT = _Colours(
    paper="#ffffff",
    ink="#1b1f24",
    soft="#57606a",
    line="#d0d7de",
    track="#f3f5f7",
    bad="#b3261e",
    tints=("#cfe3f7", "#d3eed6", "#fbe3c4", "#e6dcf7", "#cdeeee", "#f5d9e6"),
    edges=("#2f6fab", "#2e7d3d", "#a4661a", "#6a4cae", "#1c7c7c", "#a83f72"),
)
_DARK = _Colours(
    paper="#12161c",
    ink="#e8edf2",
    soft="#a3adb8",
    line="#3a434e",
    track="#1b2129",
    bad="#ff8a80",
    tints=("#1f3d5c", "#1f4a2a", "#573c14", "#3c2f66", "#164a4a", "#562541"),
    edges=("#7db7ee", "#79c98a", "#e3a95c", "#b39df0", "#5fc4c4", "#ee8ebb"),
)


def style() -> str:
    """The style sheet: light, and dark where the reader's surroundings are."""
    common = (
        f"text{{font-family:{FONT};font-size:11px}}"
        ".title{font-size:14px;font-weight:bold}.head,.name{font-weight:bold}.tick{font-size:10px}"
        ".strip{font-size:10px}.lost{fill:none;stroke-width:1.5;stroke-dasharray:5 4}.box{stroke-width:1}"
        ".wrong{stroke-width:2}"
    )
    return element("style", f"{common}{_sheet(_LIGHT)}@media (prefers-color-scheme:dark){{{_sheet(_DARK)}}}")


def _sheet(c: _Colours) -> str:
    rules = [
        f".paper,.plate{{fill:{c.paper}}}.ink,.name,.title,.head{{fill:{c.ink}}}.soft,.tick{{fill:{c.soft}}}",
        f".line{{stroke:{c.line};fill:none}}.track{{fill:{c.track}}}.bad{{fill:{c.bad}}}",
        f".hatch{{stroke:{c.ink};fill:{c.ink}}}.alarm{{stroke:{c.bad};fill:{c.bad}}}",
    ]
    for n, (tint, edge) in enumerate(zip(c.tints, c.edges, strict=True)):
        rules.append(f".t{n}{{fill:{tint};stroke:{edge}}}")
    # Behind the tints, to outdo their edges.
    return "".join([*rules, f".lost,.wrong{{stroke:{c.bad}}}"])


def patterns() -> str:
    """The fills of the marks: strokes for INVALID, dots for phantom, a grid for overlap, bars for unbacked."""
    stroke = {"stroke_width": "1.4", "class_": "hatch", "stroke_opacity": "0.45"}
    alarm = {"stroke_width": "1.4", "class_": "alarm"}
    made = {
        "invalid": element("path", d="M-2 2 L2 -2 M0 8 L8 0 M6 10 L10 6", **stroke),
        "phantom": element("circle", cx=2, cy=2, r=1, class_="hatch", fill_opacity="0.5", stroke="none")
        + element("circle", cx=6, cy=6, r=1, class_="hatch", fill_opacity="0.5", stroke="none"),
        "changed": element("path", d="M0 4 H8", **stroke),
        "overlap": element("path", d="M0 0 L8 8 M8 0 L0 8", **alarm),
        "unbacked": element("path", d="M2 0 V8 M6 0 V8", **alarm),
        "alike": element("path", d="M0 7 H8", **stroke),
    }
    return element(
        "defs",
        "".join(
            element("pattern", content, id=name, width=8, height=8, patternUnits="userSpaceOnUse")
            for name, content in made.items()
        ),
    )
