"""An evaluation and a diagnosis as their files have them, and runs that have them."""

import shutil

from twofold.recipe import recipe, toml
from twofold.run import Run
from twofold.storage import files


def score(value, **more):
    return {"metric": "accuracy", "value": value, "spread": 0.01, "over": "10 draws of the labels", **more}


EVALUATION = {
    "representations": ["raw_pixels", "pretrained"],
    "scores": {
        "knn": {"raw_pixels": score(0.5), "pretrained": score(0.75)},
        "few_1": {"raw_pixels": score(0.25, labels=10), "pretrained": score(0.5, labels=10)},
        "all_labels": {"raw_pixels": score(0.5, labels=1000), "pretrained": score(0.875, labels=1000)},
        "few_10_percent": {"raw_pixels": score(0.375, labels=100), "pretrained": score(0.625, labels=100)},
        "finetune_few_10_percent": {"pretrained": score(0.5, labels=100)},
        "clusters_10_labels_1": {"raw_pixels": score(0.1, labels=10), "pretrained": score(0.2, labels=10)},
        "clusters_10_labels_5": {"raw_pixels": score(0.2, labels=50), "pretrained": score(0.4, labels=50)},
        "clusters_10_nmi": {"pretrained": {"metric": "NMI", "value": 0.5, "spread": 0.1, "over": "5 starts"}},
    },
    "gains": {"knn": score(0.0625, above="untrained") | {"spread": 0.02}},
    "verdict": ["the pretrained features are clearly better"],
    "notes": ["a note of the evaluation"],
    "data": {"name": "digits", "split": "the data's own test part", "train": 1438, "test": 359},
}


DIAGNOSIS = {
    "findings": [
        {"name": "<b>collapse</b>", "since": 3, "seen": "rank 1.2 of 32", "cause": "no repulsion", "advice": "--lr 0.1"}
    ],
    "looks": 40,
    "measures": {"features": {"rank": 5.5, "std": 0.01}, "embeddings": {"rank": 1.2}, "untrained": {"rank": 7.0}},
    "spectrum": {"features": [0.7, 0.2, 0.1], "embeddings": [1.0, 0.0], "untrained": [0.5, 0.3, 0.2]},
}


def elsewhere(finished, path, data, **more):
    """A copy of a finished run whose recipe names other data, with more files in it."""
    shutil.copytree(finished.path, path)
    changed = recipe.replace(finished.recipe, data=str(data), limit=0)
    (path / "recipe.toml").write_text(toml.dumps(changed))
    state = files.load(path / "checkpoint.pt")
    files.save(path / "checkpoint.pt", state | {"recipe": toml.dumps(changed)})
    for name, content in more.items():
        files.write_json(path / f"{name}.json", content, indent=1)
    return Run(path)
