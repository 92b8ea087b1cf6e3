"""Batches on their way through other people's loops, and batches of views that were made elsewhere."""

import multiprocessing

import pytest
import torch
from torch import distributed, nn

from tests.together import together
from twofold import dist, launch
from twofold.batch import Batch, Chance, View
from twofold.errors import UsageError

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
CHANCE = Chance(7, 3, 8, slice(4, 8))
BATCH = Batch((View(IMAGES, torch.arange(4).view(4, 1)), View(IMAGES[..., :4, :4])), torch.arange(4), CHANCE)
META = torch.device("meta")


class Seen(nn.Module):
    """Keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, batch, progress):
        self.batch = batch
        return self.weight * batch.views[0].images.sum()


def by_fabric(batch):
    from lightning_utilities.core.apply_func import apply_to_collection

    return apply_to_collection(batch, torch.Tensor, lambda tensor: tensor.to(META))


def by_accelerate(batch):
    from accelerate.utils.operations import recursively_apply

    return recursively_apply(lambda tensor: tensor.to(META), batch)


def by_data_parallel(batch):
    from torch.distributed.utils import _recursive_to

    return _recursive_to(batch, META, False)[0]


@pytest.mark.filterwarnings("ignore")  # of what these packages import
@pytest.mark.parametrize("moved_by", [by_fabric, by_accelerate, by_data_parallel])
@pytest.mark.parametrize("index", [BATCH.index, None], ids=["numbers", "none"])
def test_whatever_moves_tensors_moves_a_batch_and_keeps_what_it_is(moved_by, index):
    batch = BATCH._replace(index=index)
    moved = moved_by(batch)
    assert [type(part) for part in (moved, *moved.views, moved.chance)] == [Batch, View, View, Chance]
    assert [view.kind for view in moved.views] == [(8, 1), (4, -1)]
    assert all(view.images.device == META for view in moved.views)
    assert moved.chance.device == META  # numbers are wanted where the images are
    assert moved.chance[:5] == CHANCE[:5]
    assert (moved.index is None) == (index is None)


@pytest.mark.filterwarnings("ignore")
def test_a_method_gets_its_batch_through_fabric():
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
    module = Seen()
    fabric.setup(module)(BATCH, progress=0.5).backward()
    assert module.weight.grad.dtype == torch.float64
    assert torch.equal(module.batch.views[0].images, IMAGES.double())
    assert torch.equal(module.batch.views[0].ids_keep, BATCH.views[0].ids_keep)
    assert torch.equal(module.batch.chance.uniform("places"), CHANCE.uniform("places"))


def test_a_method_gets_its_batch_through_data_parallel(tmp_path):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        module = Seen()
        nn.parallel.DistributedDataParallel(module)(BATCH, progress=0.5).backward()
    finally:
        distributed.destroy_process_group()
    assert module.weight.grad == IMAGES.sum()
    assert module.batch.views[0].images is IMAGES
    assert module.batch.chance.uniform("places").equal(CHANCE.uniform("places"))


def test_a_batch_of_views_made_elsewhere():
    torch.manual_seed(5)
    batch = Batch.of([IMAGES, View(IMAGES, torch.zeros(4, 1))])
    assert batch.views[0].images is IMAGES
    assert batch.views[1].ids_keep is not None
    assert batch.index is None
    assert (batch.chance.total, batch.chance.rows) == (4, slice(0, 4))
    torch.manual_seed(5)
    assert Batch.of(IMAGES).chance[:5] == batch.chance[:5]  # one view, and torch's own seed decides
    assert Batch.of(IMAGES).chance.seed != batch.chance.seed
    assert Batch.of(batch) is batch


@pytest.mark.parametrize("views", [[], [IMAGES[0]], [IMAGES, IMAGES[:2]]])
def test_what_is_no_batch_of_views_is_said(views):
    with pytest.raises(UsageError, match=r"\[n, C, S, S\]"):
        Batch.of(views)


@pytest.mark.parametrize(("images", "words"), [(IMAGES[:0], "have no images"), (IMAGES.byte(), "must be of floats")])
def test_views_that_no_network_takes_are_said(images, words):
    with pytest.raises(UsageError, match=words):
        Batch.of([images, images])


def test_what_is_shared_is_the_same_for_all_rows_and_another_for_each_step_name_and_part():
    """Numbers of a whole step, as SIGReg's directions, on however many processes."""
    drawn = CHANCE.shared_normal("lines", 500, 4)
    assert torch.equal(drawn, CHANCE._replace(rows=slice(0, 4)).shared_normal("lines", 500, 4))
    assert torch.allclose(torch.stack([drawn.mean(), drawn.std()]), torch.tensor([0.0, 1.0]), atol=0.05)
    for other in (CHANCE._replace(step=4), CHANCE._replace(seed=8), CHANCE._replace(part=1)):
        assert not torch.equal(drawn, other.shared_normal("lines", 500, 4))
    assert not torch.equal(drawn, CHANCE.shared_normal("others", 500, 4))


def seeds_of(rank, store, found):
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(rank)
    chance = Batch.of([IMAGES]).chance
    found.put((dist.rank(), chance.seed, chance.total, chance.rows.start, chance.uniform("x").tolist()))


def unequal():
    try:
        with launch.processes():
            Batch.of([IMAGES[: 4 - dist.rank()]])
    except UsageError as error:
        return str(error)


def test_processes_with_unequal_numbers_of_images_are_told():
    """As by a DataLoader that does not leave the last ones out; else they would wait for what never comes."""
    _, said = together(2, unequal)
    assert said[1].startswith("process 1 has 3 images where process 0 has 4: all must have equally many")


def test_processes_agree_on_the_chance_of_a_batch(tmp_path):
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    both = [context.Process(target=seeds_of, args=(rank, tmp_path / "store", found)) for rank in range(2)]
    for process in both:
        process.start()
    first, second = sorted(found.get(timeout=60) for _ in both)
    for process in both:
        process.join()
    torch.manual_seed(0)
    alone = Batch.of([torch.cat([IMAGES, IMAGES])]).chance
    assert (first[1], second[1]) == (alone.seed, alone.seed)
    assert (first[2], first[3], second[3]) == (8, 0, 4)
    assert first[4] + second[4] == alone.uniform("x").tolist()
