"""A matplotlib figure as SVG that lives inside a page: small, with the page's fonts, in the page's languages.

An ``<img>`` could do none of this: its text is in one language and nothing in it can be pointed at.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from alp_assets.report.words import Words
from schemas.texts import LANGUAGES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_TOKEN = re.compile(r"§(\d+)§")
_LONG = re.compile(r"-?\d+\.\d{2,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


class Captions:
    """Words that a figure is to show. matplotlib draws a token in their place, which knows no language."""

    def __init__(self) -> None:
        self._words: list[Words] = []

    def token(self, words: Words) -> str:
        """What to give matplotlib for some words; they must be anchored, as a token's width says nothing."""
        self._words.append(words)
        return f"§{len(self._words) - 1}§"

    def of(self, text: str | None) -> Words | None:
        """The words that a token stands for, or None where the text is none."""
        found = _TOKEN.fullmatch(text or "")
        return self._words[int(found[1])] if found else None


def inline_svg(
    figure: Figure, name: str, captions: Captions, titles: Mapping[str, Sequence[str]], label: str
) -> str:
    """The figure as one ``<svg>`` element.

    Args:
        figure: drawn with ``svg.fonttype`` none.
        name: prefix of every id, unique on the page.
        captions: the words behind tokens.
        titles: for the gid of an artist what to show when pointing at each of its markers or bars.
        label: attributes that describe the figure to those who cannot see it, ready to be written.

    An artist's gid becomes the class of its group, and its markers lose the style that matplotlib gave
    them: the page's styles colour what has a class.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    root = ElementTree.fromstring(stream.getvalue())  # noqa: S314  matplotlib wrote it
    used = _references(root)
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in list(root.iter(f"{_SVG}g")):
        gid = element.get("id", "")
        if gid.startswith("mark "):
            _mark(element, gid, titles.get(gid, ()))
    width, height = (float(part) for part in root.get("viewBox", "0 0 1 1").split()[2:])
    body = "".join(_written(child, name, used, captions) for child in root)
    return f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" {label}>{body}</svg>'


def _references(root: ElementTree.Element) -> set[str]:
    found: set[str] = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            found.update(_REFERENCE.findall(value))
            if key == _LINK:
                found.add(value.removeprefix("#"))
    return found


def _mark(group: ElementTree.Element, gid: str, titles: Sequence[str]) -> None:
    """Markers or bars that have a class of their own, and a title each."""
    group.set("class", gid.removeprefix("mark "))
    for element in group.iter():
        if element.tag in (f"{_SVG}use", f"{_SVG}path"):
            element.attrib.pop("style", None)
    for element, title in zip(group.iter(f"{_SVG}use"), titles, strict=False):
        ElementTree.SubElement(element, f"{_SVG}title").text = title


def _written(element: ElementTree.Element, name: str, used: set[str], captions: Captions) -> str:
    """An element as HTML takes it: no namespaces, short numbers, only the ids that something refers to."""
    words = captions.of(element.text)
    if words is not None and words.en != words.ko:
        return "".join(
            _tag(element, name, used, f' lang="{language}"', escape(words.of(language))) for language in LANGUAGES
        )
    text = words.en if words is not None else (element.text or "").strip()
    inside = escape(text) + "".join(_written(child, name, used, captions) for child in element)
    if element.tag in (f"{_SVG}g", f"{_SVG}defs") and not (inside and _says_something(element, used)):
        return inside
    return _tag(element, name, used, "", inside)


def _says_something(group: ElementTree.Element, used: set[str]) -> bool:
    """Whether a group does more than hold others together."""
    return group.tag == f"{_SVG}defs" or bool(group.attrib.keys() - {"id"}) or group.get("id") in used


def _tag(element: ElementTree.Element, name: str, used: set[str], more: str, inside: str) -> str:
    tag = element.tag.removeprefix(_SVG)
    attributes = "".join(_attribute(key, value, name, used, tag) for key, value in element.attrib.items())
    return f"<{tag}{attributes}{more}/>" if not inside else f"<{tag}{attributes}{more}>{inside}</{tag}>"


def _attribute(key: str, value: str, name: str, used: set[str], tag: str) -> str:
    if key == "id":
        return f' id="{name}-{escape(value)}"' if value in used else ""
    if key == _LINK:
        return f' href="#{name}-{escape(value[1:])}"'
    value = _REFERENCE.sub(lambda found: f"url(#{name}-{found[1]})", value)
    if tag == "text" and key == "style":
        value = "; ".join(part for part in value.split("; ") if part.startswith("text-anchor"))
    if value.startswith("rotate(-0 "):
        return ""
    value = _LONG.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value)
    return f' {key}="{escape(" ".join(value.split()))}"' if value else ""
