"""Names in JSON are for programs, titles for people; each has the other."""

import re

import pytest

from twofold.evaluation.titles import measure_title, representation_title, row_title

TITLES = {
    "knn": "knn",
    "few_1": "1 a class",
    "few_1_percent": "1 % of labels",
    "few_0.5_percent": "0.5 % of labels",
    "all_labels": "all labels",
    "clusters_10": "10 clusters",
    "clusters_10_nmi": "10 clusters, NMI",
    "clusters_100_ari": "100 clusters, ARI",
    "clusters_10_labels_1": "10 clusters, 1 label each",
    "clusters_10_labels_10": "10 clusters, 10 labels each",
    "prototypes_nmi": "prototypes, NMI",
    "prototypes_labels_1": "prototypes, 1 label each",
    "prototypes_labels_5": "prototypes, 5 labels each",
    "retrieval_map": "retrieval, mAP",
    "recall_at_10": "retrieval, recall at 10",
}


def test_rows_have_titles():
    assert {row: row_title(row) for row in TITLES} == TITLES


def test_columns_and_measures_have_titles():
    assert representation_title("raw_pixels") == "raw pixels"
    assert representation_title("runs/my_cats") == "runs/my_cats"  # a name of somebody's is left as it is
    assert measure_title("centred_rank") == "centred rank"
    assert measure_title("stand_ins") == "stand-ins"


def keys_of(value):
    """All keys of nested dicts."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


@pytest.mark.parametrize("kind", ["evaluation", "diagnosis", "metrics"])
def test_keys_in_files_are_snake_case(kind, finished, tmp_path):
    import twofold

    if kind == "evaluation":
        found = twofold.evaluate(finished, protocols="knn,linear,fewshot,clusters,retrieval")
        del found["versions"], found["recipe"]  # names of packages, and of other people's arguments
    elif kind == "diagnosis":
        found = twofold.diagnose(finished, images=50, out=tmp_path / "diagnosis.json")
        del found["versions"]
    else:
        found = finished.metrics
    wrong = [key for key in keys_of(found) if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", key)]
    assert wrong == []
    assert len(list(keys_of(found))) > 20
