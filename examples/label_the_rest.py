"""Classes for images that have none, from a few that have one: a linear classifier of frozen features.

twofold embed RUN labelled --out labelled.parquet           # a folder with a folder for each class, or a table
twofold embed RUN photos --out photos.parquet               # all images
python examples/label_the_rest.py labelled.parquet photos.parquet classes.csv

RUN is also the name of a timm model with published weights. The CSV file has a row for each image: its path, the
likeliest class and its probability. Look at the least probable rows first: they are the images to label next.
"""

import csv
import sys

import numpy as np
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def read(file: str) -> tuple[np.ndarray, list[str], list[str]]:
    table = pq.read_table(file)
    return np.stack(table["vector"].to_numpy()), table["path"].to_pylist(), table["label"].to_pylist()


def main(labelled: str, others: str, out: str) -> None:
    features, _, labels = read(labelled)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced"))
    classifier.fit(features, labels)
    features, paths, _ = read(others)
    probable = classifier.predict_proba(features)
    with open(out, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class", "probability"])
        for path, row in zip(paths, probable, strict=True):
            writer.writerow([path, classifier.classes_[row.argmax()], f"{row.max():.3f}"])
    print(f"{len(paths)} images, classes from {len(labels)} labelled ones: {out}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
