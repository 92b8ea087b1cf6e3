"""What a run says of itself before its first step."""

from torch import nn

from twofold import dist
from twofold.data.kinds import PICTURE, Kind
from twofold.data.unread import left_out
from twofold.nets.published import passed_over
from twofold.nets.synchronised import unsynchronised
from twofold.recipe.general import Recipe
from twofold.training import portions, sharding
from twofold.training.opened import OpenRun

FEW_IMAGES, FEW_STEPS = 200, 50
"""fewer than these are pointed out where a run starts from random weights"""
FEW_PHOTOGRAPHS = 50_000
"""of fewer than these it is said that published weights may be the better start"""


def notes(opened: OpenRun, unreadable: list[str]) -> list[str]:
    """What a user should know about this run before it begins or goes on."""
    s, path, batch = opened.settings, opened.run.path, opened.plan.batch
    if opened.start >= opened.steps:
        return [f"{path} is already done"]
    said = []
    if opened.start:
        said.append(f"{path} goes on at step {opened.start} of {opened.steps}")
    elif unreadable:
        said.append(f"{left_out(len(unreadable))} ({path}/log.txt names them)")
    if batch < s.batch_size:
        said.append(f"batch {batch} instead of {s.batch_size}: there are only {len(opened.images)} images")
    if not opened.start and not s.weights:
        said += of_few(s, len(opened.images), opened.steps, bool(opened.method.given()))
    weights = sum(p.numel() for p in opened.method.backbone.parameters())
    kind = Kind(s.channels, s.depth)
    of_kind = "" if kind == PICTURE else f" with {kind}"
    said.append(
        f"{s.method}, {s.backbone} ({weights / 1e6:.1f} million weights), {len(opened.images)} images{of_kind} at "
        f"{s.image_size} px, batch {batch}, learning rate {s.lr * batch / 256:g} at this batch"
        f"{'' if s.backbone_lr == s.lr else f', {s.backbone_lr * batch / 256:g} for the backbone'}, {s.precision}, "
        f"images {'in memory' if s.resident else 'decoded as needed'}"
    )
    for name, (network, spec) in opened.method.given().items():
        size = sum(p.numel() for p in network.parameters()) / 1e6
        said.append(f"{name} {spec.name} ({size:.1f} million weights), {spec.features} features, kept in {path / name}")
    said += portions.notes(s, opened.method, batch) + sharding.notes(s, opened.method)
    if dist.world() > 1:
        said += unlike_one(opened.method)
    return said


def of_few(settings: Recipe, images: int, steps: int, taught: bool) -> list[str]:
    """Sentences on a run that learns few images, or in few steps, from random weights, if it is one.

    Args:
        settings: the run's.
        images: how many it learns from.
        steps: how many it has.
        taught: whether it learns from another network, which may have been published.
    """
    if images < FEW_IMAGES:
        use = "as they are (twofold embed MODEL DATA)" if settings.channels == 3 else "(--weights published)"
        return [f"{images} images are few to learn from: try published weights {use}"]
    said = [f"{steps} steps are few to learn from random weights: more --epochs"] if steps < FEW_STEPS else []
    if images < FEW_PHOTOGRAPHS and not taught and passed_over(settings):
        name = settings.backbone
        said.append(
            f"published weights of {name} often give better features than random ones that learn from {images} "
            f"photographs: twofold evaluate {name} DATA measures them, and --weights published begins with them"
        )
    return said


def unlike_one(method: nn.Module) -> list[str]:
    """By what several processes compute otherwise than one would, if there is anything."""
    said = []
    if own := unsynchronised(method):
        said.append(f"{' and '.join(own)}: each of the {dist.world()} processes normalises its own images")
    if any(module.training and _drops(module) for module in method.modules()):
        said.append("dropout and drop path draw different numbers than with another number of processes")
    return said


def _drops(module: nn.Module) -> bool:
    share = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else getattr(module, "drop_prob", None)
    return isinstance(share, float) and share > 0
