"""Clusters and the gallery."""

import torch

from tests.page.test_layout import blobs
from twofold.page.atlas import assign, colours, describe, gallery


def test_clusters_are_described():
    """Largest first; examples are nearest to the mean; the label is the commonest."""
    unit, member = blobs(100, groups=2)
    labels = ["ant" if m == 0 or i < 10 else "bee" for i, m in enumerate(member.tolist())]
    unequal = torch.where(torch.arange(100) < 90, member, 0)
    for cluster in describe(unit, unequal, labels):
        inside = [i for i in range(100) if unequal[i] == cluster.number]
        assert cluster.size == len(inside)
        middle = unit[inside].double().mean(0)
        expected = sorted(inside, key=lambda i: -float(unit[i].double() @ middle))[:8]
        assert cluster.examples == expected
        names = [labels[i] for i in inside]
        assert cluster.label == max(set(names), key=names.count)
        assert cluster.share == names.count(cluster.label) / len(names)
    found = assign(unit, 2)
    assert len({(int(a), int(b)) for a, b in zip(found, member, strict=True)}) == 2  # the planted ones
    assert (found == 0).sum() >= (found == 1).sum()


def test_the_gallery_shows_every_group():
    near = torch.zeros(50, 3, dtype=torch.long)
    groups = [str(i % 5) for i in range(50)]
    rows = gallery(near, groups)
    assert len(rows) == 8
    assert {groups[row[0]] for row in rows} == set("01234")


def test_colours_differ():
    assert len(set(colours(60))) == 60
    assert all(len(colour) == 7 for colour in colours(60))
