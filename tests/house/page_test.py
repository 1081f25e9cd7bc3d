"""The page of `explain`: whole, of itself, and holding all there is to tell."""

import re
from html.parser import HTMLParser

import pytest

import dvm
from dvm.page.layout import Box, place
from dvm.page.page import page

VOID = {"meta", "br", "wbr", "link", "img"}


class Balance(HTMLParser):
    """Fails where an element is closed that is not the last opened; collects attributes and text."""

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def parsed(html):
    found = Balance()
    found.feed(html)
    found.close()
    assert found.open == []
    return found


@dvm.kernel
def two_reductions(k, x, y):
    x, y = k.load(x), k.load(y)
    e = k.exp(x - k.max(x, axis=-1, keepdims=True))
    return k.store(e / k.sum(e, axis=-1, keepdims=True)), k.store(k.sum(x * y, axis=0))


def test_page_of_a_kernel_is_whole_and_of_itself():
    html = two_reductions.explain((8, 16), (8, 16)).html()
    found = parsed(html)
    links = [value for name, value in found.attributes if name in ("href", "src", "xlink:href")]
    assert links
    assert all(value.startswith("#") for value in links)
    assert not re.search(r"https?:|@import|<script|<link", html)
    assert "stay apart: they reduce over different axes" in html
    assert "prefers-color-scheme: dark" in html


def test_every_link_leads_to_a_kernel_that_is_drawn():
    found = parsed(two_reductions.explain((8, 16), (8, 16)).html())
    places = {value for name, value in found.attributes if name == "id"}
    assert {"g0k0", "g0k1"} <= places
    assert all(value[1:] in places for name, value in found.attributes if name == "href")


def test_text_of_others_is_escaped():
    nasty = "<b onclick='x'>&\"</b>"
    tensor = {"tensor": nasty, "type": "f32", "shape": ["n"]}
    graph = {
        "kind": nasty,
        "ms": 1.0,
        "kernels": [],
        "matmuls": [
            {
                "operands": [tensor, tensor],
                "type": "f32",
                "shape": [nasty],
                "flops": "2*n",
                "bytes": "4*n",
                "epilogue": None,
            }
        ],
        "convolutions": [
            {
                "operands": [tensor, tensor],
                "type": "f32",
                "shape": [nasty],
                "flops": "2*n",
                "bytes": "4*n",
                "epilogue": None,
            }
        ],
        "pools": [],
        "scans": [],
        "attentions": [
            {
                "operands": [tensor, tensor, tensor],
                "type": "f32",
                "shape": [nasty],
                "causal": True,
                "flops": "4*n",
                "bytes": "4*n",
            }
        ],
        "fallbacks": [
            {"name": nasty, "reason": nasty, "line": nasty, "count": 1, "results": ["a"]}
        ],
        "notes": [nasty],
        "source": nasty,
        "sizes": {},
        "peak_bytes": "4*n",
        "symbols": [{"name": "n", "label": nasty, "range": nasty, "at": nasty}],
        "conditions": [nasty],
        "wiring": {
            "nodes": [
                {"kind": "input", "name": nasty, "weights": [], "makes": [tensor]},
                {"kind": "torch", "name": nasty, "fallback": 0, "weights": [tensor], "makes": []},
            ],
            "edges": [{"from": 0, "to": 1, **tensor}],
        },
    }
    html = page({"name": nasty, "graphs": [graph]})
    found = parsed(html)
    assert "<b" not in html.replace("<body", "").replace("<br", "")
    assert nasty in found.texts


@pytest.mark.parametrize("count", [1, 40])
def test_boxes_do_not_overlap_and_edges_lead_down(count):
    boxes = [Box(60 + 37 * n % 200, 20 + 13 * n % 50) for n in range(count)]
    edges = [(a, b) for b in range(count) for a in range(b) if (a * 7 + b * 3) % 11 == 0]
    layout = place(boxes, edges)
    for source, target in edges:
        assert boxes[source].y + boxes[source].height < boxes[target].y
    for n, one in enumerate(boxes):
        assert one.x - one.width / 2 >= 0
        assert one.x + one.width / 2 <= layout.width + 1e-6
        for other in boxes[:n]:
            beside = abs(one.x - other.x) >= (one.width + other.width) / 2
            assert beside or one.y + one.height <= other.y or other.y + other.height <= one.y


def test_a_long_chain_does_not_drift():
    boxes = [Box(100, 30) for _ in range(200)]
    chain = [(n, n + 1) for n in range(199)]
    skips = [(n, n + 5) for n in range(0, 195, 5)]
    assert place(boxes, chain + skips).width < 400
