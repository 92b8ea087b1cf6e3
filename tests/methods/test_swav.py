"""SwAV's details: when its queue counts, and which views give codes."""

from tests.methods.making import loss_of, made
from twofold.batch import Batch, View


def test_swav_balances_with_its_queue_only_from_when_it_is_full():
    """Two batches of 32 fill a queue of 64; before, and before its share of the run, it changes nothing."""
    losses = {}
    for queue, since in ((0, 0.5), (64, 0.5), (64, 0.9)):
        method, batch = made("swav", queue=queue, queue_from=since)
        other = Batch(batch.views[::-1], batch.index, batch.chance)
        losses[queue, since] = [loss_of(method, b, 0.6).item() for b in (batch, batch, other)]
    assert losses[64, 0.9] == losses[0, 0.5]
    assert losses[64, 0.5][:2] == losses[0, 0.5][:2]
    assert losses[64, 0.5][2] != losses[0, 0.5][2]


def test_swav_takes_codes_from_full_size_views_only():
    method, batch = made("swav")
    small = tuple(View(view.images[..., :6, :6]) for view in batch.views)
    seen = []
    method.code, plain = lambda *args: seen.append(args[0]) or plain(*args), method.code
    loss_of(method, Batch((*batch.views, *small), batch.index, batch.chance))
    assert seen == [0, 1]
