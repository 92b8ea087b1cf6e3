"""What people read for the names in evaluation.json, diagnosis.json and compare.json: tables and pages ask here."""

import re

BEGINNINGS = ("untrained", "start")
"""What a run's backbone was: with random weights, and with the weights that it started from, if it did."""
RAW_PIXELS = "raw_pixels"
"""The yardstick among representations that is no network's."""

ROWS = (
    (r"all_labels", r"all labels"),
    (r"few_(\d+)", r"\1 a class"),
    (r"few_([\d.]+)_percent", r"\1 % of labels"),
    (r"transductive_(\d+)", r"\1 a class, transductive"),
    (r"transductive_([\d.]+)_percent", r"\1 % of labels, transductive"),
    (r"retrieval_map", r"retrieval, mAP"),
    (r"recall_at_(\d+)", r"retrieval, recall at \1"),
    (r"segmentation_miou", r"segmentation, mean IoU"),
    (r"segmentation_accuracy", r"segmentation, pixel accuracy"),
    (r"patch_retrieval", r"patch retrieval, precision"),
    (r"clusters_(\d+)", r"\1 clusters"),
    (r"clusters_(\d+)_nmi", r"\1 clusters, NMI"),
    (r"clusters_(\d+)_ari", r"\1 clusters, ARI"),
    (r"clusters_(\d+)_labels_1", r"\1 clusters, 1 label each"),
    (r"clusters_(\d+)_labels_(\d+)", r"\1 clusters, \2 labels each"),
    (r"prototypes_nmi", r"prototypes, NMI"),
    (r"prototypes_ari", r"prototypes, ARI"),
    (r"prototypes_labels_1", r"prototypes, 1 label each"),
    (r"prototypes_labels_(\d+)", r"prototypes, \1 labels each"),
)
"""Names of an evaluation's rows, or of several rows together, as patterns, and their titles; others are their own."""

BALANCED = "_balanced"
"""The end of the name of a row of balanced accuracies."""
HYPHENATED = {"stand_ins": "stand-ins"}


def balanced_row(row: str) -> str:
    """The row of the balanced accuracy beside that of an accuracy."""
    return row + BALANCED


def row_title(row: str) -> str:
    """Of a row of scores: ``few_5`` is ``5 a class``."""
    if row.endswith(BALANCED):
        return f"{row_title(row.removesuffix(BALANCED))}, balanced"
    for pattern, title in ROWS:
        if found := re.fullmatch(pattern, row):
            return found.expand(title)
    return row


def representation_title(name: str) -> str:
    """Of a column of scores; a baseline's name, which may be a path, is its own title."""
    return "raw pixels" if name == RAW_PIXELS else name


def measure_title(name: str) -> str:
    """Of a measure: ``centred_rank`` is ``centred rank``."""
    return HYPHENATED.get(name) or name.replace("_", " ")
