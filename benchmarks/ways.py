"""Which way for few images: raw pixels, from scratch, published weights as they are, adapted, distilled; three seeds.

    python benchmarks/ways.py runs/ways photos --weights FILE --backbone tf_efficientnet_lite0 --freeze 6

Three comparisons, each with its page (OUT/*/compare.html) and a recipe.toml a run: methods from the weights; the first
of them from scratch; a small student of those weights. A way's epochs are such that all cost as many operations as the
first one from the weights; the student gets its own. Goes on where it was stopped. `python benchmarks/collect.py NAME
FOLDER` keeps the results of each.
"""

import argparse
from pathlib import Path
from typing import Any

import twofold
from twofold.comparison.compare import budget_of
from twofold.data.opening import open_data
from twofold.recipe import recipe
from twofold.training.log import Log, terminal

STUDENT = {"layers": [1, 1, 1, 1], "channels": [16, 32, 64, 192], "stem_type": "deep", "stem_width": 8}
"""A ResNet with 22 % of EfficientNet-Lite0's multiplications, 0.5 million weights."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("data")
    parser.add_argument("--weights", required=True, help="a file, or published")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--methods", default="vicreg,simclr,byol")
    parser.add_argument("--size", type=int, default=224, help="side of a view of those without weights of their own")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4, help="of the first method from the weights")
    parser.add_argument("--student-epochs", type=int, default=12)
    parser.add_argument("--freeze", type=int, default=0, help="layers of the backbone, from weights")
    o = parser.parse_args()
    first, log = o.methods.split(",")[0], Log(terminal())
    common: dict[str, Any] = {"seeds": o.seeds, "knn_every": 0}
    adapting = {"backbone": o.backbone, "freeze": o.freeze, "epochs": o.epochs}

    source = open_data(o.data).train
    both = {
        "adapted": recipe.wanted(first, data=o.data, weights=o.weights, **adapting),
        "scratch": recipe.wanted(first, data=o.data, backbone=o.backbone, image_size=o.size, epochs=o.epochs),
    }
    epochs = budget_of(both, source, log)["scratch"]["epochs"]

    twofold.compare(o.data, o.methods, o.out / "adapted", starts=o.weights, **common, **adapting)
    twofold.compare(o.data, first, o.out / "scratch", backbone=o.backbone, image_size=o.size, epochs=epochs, **common)
    twofold.compare(
        o.data, "distill", o.out / "distilled", backbone="resnet18", backbone_arguments=STUDENT,
        teacher=o.backbone, teacher_weights=o.weights, image_size=o.size, epochs=o.student_epochs, **common,
    )  # fmt: skip


if __name__ == "__main__":
    main()
