"""Why a finding is likely for a method with its settings, and what to try: the doctor's table."""

from collections.abc import Callable
from typing import Any, NamedTuple

from twofold.methods.joint_functionals import parse
from twofold.recipe.general import Recipe
from twofold.recipe.recipe import settings_of

Settings = dict[str, Any]


class Cause(NamedTuple):
    """A row of the doctor's table: the likely cause of findings, and what to try.

    It is for runs of these methods, or of all if none is named, of which ``when`` is true of the settings.
    """

    findings: tuple[str, ...]
    methods: tuple[str, ...]
    when: Callable[[Settings], bool]
    cause: str
    advice: str


COMPLETE = "complete collapse"
DIMENSIONAL = "dimensional collapse"
CLUSTER = "one cluster takes all"
FINITE = "non-finite values"
STUCK = "loss stuck at its trivial value"
START = "no gradient at the start"
NORMS = "exploding norms"
MEMORY = "dead memory"
WORSE = "worse than untrained"
FORGETTING = "forgetting"
BEHIND = frozenset({WORSE, FORGETTING})
"""What is found of features that are behind those of the start, which is no collapse."""
EMPTY = "nothing in the images"
FLAT = (COMPLETE, STUCK, DIMENSIONAL, MEMORY)
"""What may be found where nothing keeps outputs apart."""
CONTRASTIVE = ("simclr", "moco", "mocov3", "pirl", "joint")
EVERY: tuple[str, ...] = ()
UNFED = "the memory is not fed, or is fed embeddings that are all alike"


def always(_: Settings) -> bool:
    return True


def lacks(*names: str) -> Callable[[Settings], bool]:
    """Whether `joint` is without all of these functionals, or has them with the weight 0."""

    def missing(s: Settings) -> bool:
        weighed = [*parse(s["functionals"]).items(), *parse(s["functionals_y"]).items()]
        return not any(weight for (name, _), weight in weighed if name in names)

    return missing


APART = ("variance", "repulsion", "contrast", "margin", "uniformity", "koleo", "redundancy", "coding_rate", "sigreg")
"""Functionals that keep images apart,"""
VARIED = ("covariance", "redundancy", "coding_rate", "sigreg")
"""and those that keep dimensions from repeating each other."""


# The first row that fits is taken: what a setting has switched off comes before what is merely likely.
CAUSES = [
    Cause((EMPTY,), EVERY, always,
          "the images were emptied or cut down before they came here, as by a failed conversion or download",
          "another DATA: look at some of the files, and at what twofold scan says of their sizes; "
          "no setting helps against it"),
    Cause(FLAT, ("simclr", "moco", "mocov3"), lambda s: s["repulsion"] == 0,
          "the repulsion has the weight 0, so nothing keeps images apart", "--repulsion 1"),
    Cause((COMPLETE, STUCK, MEMORY), ("vicreg",), lambda s: s["variance"] == 0,
          "the variance term has the weight 0, so nothing keeps the outputs apart", "--variance 25"),
    Cause((DIMENSIONAL,), ("vicreg",), lambda s: s["covariance"] == 0,
          "the covariance term has the weight 0, so dimensions may repeat each other", "--covariance 1"),
    Cause(FLAT, ("lejepa",), lambda s: s["sigreg"] == 0,
          "SIGReg has the weight 0, so nothing keeps images apart", "--sigreg 0.05"),
    Cause((DIMENSIONAL,), ("barlow_twins",), lambda s: s["redundancy"] == 0,
          "the redundancy term has the weight 0, so dimensions may repeat each other", "--redundancy 0.0051"),
    Cause((*FLAT, CLUSTER), ("swav",), lambda s: s["iterations"] == 0,
          "codes are not balanced (no Sinkhorn iterations), so one cluster may take all", "--iterations 3"),
    Cause((*FLAT, CLUSTER), ("swav",), lambda s: s["epsilon"] > 0.2,
          "codes are nearly flat at this epsilon and tell clusters little", "--epsilon 0.03"),
    Cause((*FLAT, CLUSTER), ("dino",), lambda s: s["center_momentum"] == 1,
          "the teacher's output is not centred, so one prototype may take all", "--center-momentum 0.9"),
    Cause((*FLAT, CLUSTER), ("dino",), lambda s: max(s["teacher_temperature"]) >= s["student_temperature"],
          "the teacher is no sharper than the student, so both may go flat", "--teacher-temperature 0.04 0.07"),
    Cause(FLAT, ("byol",), lambda s: not s["predictor"] and s["momentum"][0] == 0,
          "there is neither a predictor nor a slow target, so both sides can meet in a point",
          "--predictor 4096 256 --momentum 0.99 1"),
    Cause(FLAT, ("byol", "simsiam"), lambda s: not s["predictor"],
          "there is no predictor, without which a stopped gradient prevents nothing", "the default --predictor"),
    Cause(FLAT, ("byol",), lambda s: s["momentum"][0] == 0,
          "the target does not move slowly (momentum 0)", "--momentum 0.99 1"),
    Cause(FLAT, ("simsiam",), lambda s: not s["stop_gradient"],
          "the gradient is not stopped on the y side", "--stop-gradient true"),
    Cause(FLAT, ("data2vec", "dino"), lambda s: s["teacher_momentum"][0] == 0,
          "the teacher does not move slowly (momentum 0)", "the default --teacher-momentum"),
    Cause(FLAT, ("joint",), lambda s: lacks(*APART)(s) and s["energy"] != "correlation" and s["codes"] == "softmax"
          and not s["predictor"],
          "no functional keeps images apart and there is no predictor: these parts have a point as their solution",
          "--functionals variance:25,covariance:2, or --predictor 4096 2048 --target momentum"),
    Cause((CLUSTER,), ("joint",), lambda s: s["codes"] == "softmax",
          "codes are neither balanced nor centred, so one prototype may take all", "--codes sinkhorn"),
    Cause((DIMENSIONAL,), ("joint",), lacks(*VARIED),
          "no functional keeps dimensions from repeating each other", "--functionals variance:25,covariance:2"),
    Cause((START,), EVERY, always,
          "the first weights already sit in the trivial solution (constant outputs, or layers at zero)",
          "another initialisation or --seed; take zero-initialised last layers out of the projector"),
    Cause((FINITE,), EVERY, always,
          "the steps are too large, or a value leaves what the precision can hold",
          "a third of the --lr, --grad-clip 1, more --warmup-epochs, --precision fp32"),
    Cause((NORMS,), EVERY, always, "the steps are too large",
          "a third of the --lr, --grad-clip 1, more --warmup-epochs"),
    Cause((MEMORY,), ("moco",), always, UNFED, "a shorter --queue, a --momentum nearer 1, a lower --lr"),
    Cause((MEMORY,), ("pirl",), always, UNFED, "a lower --bank-momentum, a lower --lr, more --epochs"),
    Cause((MEMORY,), ("swav",), always, UNFED, "a shorter --queue or a later --queue-from, a lower --lr"),
    Cause((MEMORY,), EVERY, always, UNFED, "a shorter --memory, a lower --lr"),
    Cause((CLUSTER,), EVERY, always,
          "prototypes are not kept in balanced use, or the steps are too large",
          "a lower --lr, a longer --freeze-prototypes, fewer --prototypes"),
    Cause((DIMENSIONAL,), ("byol", "simsiam", "dino", "data2vec"), always,
          "without functionals only the asymmetry keeps dimensions in use, and large steps undo it",
          "a lower --lr, more --warmup-epochs, a larger --batch-size"),
    Cause((DIMENSIONAL,), CONTRASTIVE, always,
          "distortions stronger than what tells the images apart, or steps that are too large (arXiv 2110.09348)",
          "milder --crop-scale and jitter, a lower --lr, a wider --projector"),
    Cause((DIMENSIONAL,), EVERY, always,
          "too little weight on what decorrelates, or steps that are too large", "a lower --lr, a larger --batch-size"),
    Cause((FORGETTING,), EVERY, lambda s: s["backbone_lr"] >= s["lr"],
          "the backbone learns as fast as heads that know nothing yet, and loses what its weights knew",
          "the default --backbone-lr and --heads-first"),
    Cause((FORGETTING,), EVERY, always,
          "what the method asks for costs what the weights knew, or the steps are too large",
          "a lower --interpolate-weights or --backbone-lr, --freeze or --layer-decay, fewer --epochs; else the weights "
          "as they are"),
    Cause((WORSE,), EVERY, lambda s: s["optimizer"] != "adamw",
          "the optimizer's rates come from runs of hundreds of epochs, and have not left the start behind",
          "--optimizer adamw with its own --lr and --weight-decay, more --epochs"),
    Cause((WORSE,), EVERY, always,
          "too few steps to have learned anything, or steps that are too large",
          "more --epochs, a smaller --batch-size, a third of the --lr, or --weights published"),
    Cause((STUCK,), ("jigsaw", "rotation", "denoising", "mae"), always,
          "the task is not being learned: steps too small, too large, or the task too hard for these images",
          "another --lr, more --epochs, milder distortions"),
    Cause((STUCK,), CONTRASTIVE, always,
          "all embeddings look alike to the loss: steps too large, or too small to have left the start",
          "a lower --lr with --warmup-epochs; if the run has just begun, more --epochs"),
    Cause((COMPLETE, STUCK), EVERY, always,
          "what prevents collapse is too weak for these steps", "a lower --lr, more --warmup-epochs, --grad-clip 1"),
]  # fmt: skip


def explain(finding: str, recipe: Recipe | None) -> tuple[str, str]:
    """The likeliest cause and what to try; without a recipe, what is likely whatever the method."""
    settings = {} if recipe is None else settings_of(recipe)
    for row in CAUSES:
        fits = not row.methods or (recipe is not None and recipe.method in row.methods)
        if finding in row.findings and fits and row.when(settings):
            return row.cause, row.advice
    raise AssertionError(f"the table has no row for {finding}")
