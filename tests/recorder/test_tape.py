"""The tape: a step's loss played again, at its own parameters and at others."""

import contextlib

import pytest
import torch
from observing import gradient, recorded, run
from torch import nn
from torch.nn import functional as F
from training_programs import PROGRAMS, UNPLAYABLE, network, table

from thalweg.recorder import Listener, Session, Tape, TapeError, TapeRecorder

SILENT = {"functional_transforms", "operations_counted"}  # whose calls cannot be looked at
PLAYABLE = [name for name in PROGRAMS if name not in UNPLAYABLE and name not in SILENT]


class Looking(Listener):
    """Keeps a tape of every backward pass, checked while the step is still there."""

    only_looks = True

    def __init__(self, look):
        self.recorder, self._look, self.seen = TapeRecorder(), look, 0

    def rewrite(self, call):
        self.recorder.rewrite(call)

    def called(self, call, result):
        self.recorder.called(call, result)

    def before_backward(self, loss):
        self.tape = self.recorder.take(loss)
        self.old = [None if x.grad is None else x.grad.clone() for x in self.tape.leaves]

    def after_backward(self, loss):
        with torch.enable_grad():
            self._look(self)
        self.seen += 1
        self.forget()

    def forget(self):
        self.recorder.clear()

    def came(self):
        """The gradients that this pass has added."""
        for leaf, old in zip(self.tape.leaves, self.old, strict=True):
            new = leaf.grad
            yield new if old is None or new is None else new - old


class Together(Looking):
    """The same for optimizers that share what was computed before the first one's step."""

    def forget(self):
        pass


def followed(name, look):
    """The program with this look at each of its backward passes."""
    looking = Together(look) if name == "adversaries" else Looking(look)
    run(PROGRAMS[name], [looking])
    assert looking.seen
    return looking


@pytest.mark.parametrize("name", PLAYABLE)
def test_plays_the_recorded_loss_bit_for_bit(name):
    def look(looking):
        looking.tape.check()
        looking.tape.check()  # a play leaves nothing behind

    followed(name, look)


# Programs whose backward pass does not leave the loss's own gradient on the leaves.
ELSEWHERE = {"scaled_loss", "gradients_assigned"}


@pytest.mark.parametrize("name", [name for name in PLAYABLE if name not in ELSEWHERE])
def test_its_gradient_is_the_one_that_the_program_gets(name):
    def look(looking):
        for mine, theirs in zip(gradient(looking.tape), looking.came(), strict=True):
            if theirs is None:  # torch.autograd.grad leaves no trace on the leaves
                continue
            theirs = theirs.to_dense() if theirs.is_sparse else theirs
            mine = mine.to_dense() if mine.is_sparse else mine
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)

    followed(name, look)


@pytest.mark.parametrize("name", PLAYABLE)
def test_playing_changes_nothing_of_the_program(name):
    def look(looking):
        with contextlib.suppress(TapeError):
            values = [x.detach() + 0.01 for x in looking.tape.leaves]
            looking.tape.loss([value.requires_grad_() for value in values])

    plain, played = run(PROGRAMS[name]), run(PROGRAMS[name], [Looking(look)])
    assert plain.said == played.said
    assert torch.equal(plain.random, played.random)
    for one, other in zip(plain.ends, played.ends, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", UNPLAYABLE)
def test_says_why_it_cannot_be_played(name):
    def look(looking):
        with pytest.raises(TapeError, match=UNPLAYABLE[name]):
            looking.tape.check()
        with pytest.raises(TapeError, match=UNPLAYABLE[name]):
            looking.tape.loss([])

    followed(name, look)


def test_says_so_when_it_plays_something_else():
    looking = followed("raw_loop", lambda looking: None)
    with torch.no_grad():
        looking.tape.leaves[0].add_(1.0)
    with pytest.raises(TapeError, match="the step played again gives"):
        looking.tape.check()
    with pytest.raises(TapeError, match="the step played again gives"):
        looking.tape.loss([])


MODELS = {
    "linear": lambda: nn.Linear(5, 3),
    "hidden layer": network,
    "in place": lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3)),
    "layer norm": lambda: nn.Sequential(
        nn.Linear(5, 6), nn.LayerNorm(6), nn.SiLU(), nn.Linear(6, 3)
    ),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
    ),
    "batch norm": lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(5, 3)),
}


def taped(model, loss_of):
    """The tape of one loss."""
    recorder = TapeRecorder()
    with Session([recorder]):
        loss = loss_of(model)
    return recorder.take(loss)


def moved(model):
    """Other values for the parameters, by identity."""
    torch.manual_seed(5)
    return {id(p): (p + 0.3 * torch.randn_like(p)).detach() for p in model.parameters()}


@pytest.mark.parametrize("kind", MODELS)
def test_at_other_parameters_it_is_the_model_there(kind):
    torch.manual_seed(1)
    x, y = table()
    x, model = x.double(), MODELS[kind]().double()

    def loss_of(model):
        penalty = sum(p.square().sum() for p in model.parameters())
        return F.cross_entropy(model(x), y) + 0.1 * penalty

    tape, there = taped(model, loss_of), moved(model)
    played = tape.loss([there[id(leaf)] for leaf in tape.leaves])
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(there[id(p)])
    assert played.item() == pytest.approx(loss_of(model).item(), rel=1e-13)


def test_making_and_loading_the_model_is_not_part_of_the_loss():
    torch.manual_seed(1)
    x, y = table()
    recorder = TapeRecorder()
    with Session([recorder]):
        model, other = network(), network()
        nn.init.orthogonal_(model[0].weight)
        model.load_state_dict(other.state_dict())
        loss = F.cross_entropy(model(x), y)
    tape, there = recorder.take(loss), moved(model)
    values = [there[id(leaf)].clone() for leaf in tape.leaves]
    played = tape.loss(values)
    assert all(torch.equal(v, there[id(leaf)]) for v, leaf in zip(values, tape.leaves, strict=True))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(there[id(p)])
    assert torch.equal(played, F.cross_entropy(model(x), y))


def test_leaves_not_given_stay_as_they_are():
    torch.manual_seed(1)
    x, y = table()
    model = network()
    tape = taped(model, lambda model: F.cross_entropy(model(x), y))
    assert [id(leaf) for leaf in tape.leaves] == [id(p) for p in model.parameters()]
    value = torch.zeros_like(model[3].bias)
    played = tape.loss({3: value})
    with torch.no_grad():
        model[3].bias.zero_()
    assert torch.equal(played, F.cross_entropy(model(x), y))


def test_the_dropout_mask_is_the_same_at_other_parameters():
    torch.manual_seed(1)
    w = torch.ones(1000, requires_grad=True)
    tape = taped(w, lambda w: F.dropout(w, 0.5).sum())
    assert tape.loss([3 * w]).item() == pytest.approx(3 * tape.value.item())


def test_constants_can_be_replaced_by_identity():
    torch.manual_seed(1)
    x, y = table()
    model = network()
    tape = taped(model, lambda model: F.cross_entropy(model(x), y))
    memory = tape.play(instead={id(x): 2 * x})
    assert torch.equal(memory[tape.loss_slot], F.cross_entropy(model(2 * x), y))


def test_only_what_the_loss_depends_on_is_kept():
    x, y = table()
    model = network()

    def loss_of(model):
        model(x).argmax(1).eq(y).float().mean()
        (5 * model(x)).sum()
        return F.cross_entropy(model(x), y)

    names = [note.name for note in taped(model, loss_of).notes]
    assert names == ["linear", "tanh", "dropout", "linear", "cross_entropy"]


def test_what_the_gradient_treats_as_constant_stays_constant():
    w = torch.tensor(2.0, requires_grad=True)
    tape = taped(w, lambda w: w * w.detach() + w.data)
    assert tape.loss([torch.tensor(3.0)]).item() == 3 * 2 + 2


def test_what_is_written_without_gradients_is_constant_from_there():
    w = torch.tensor([2.0, -1.0], requires_grad=True)

    def loss_of(w):
        scale = torch.zeros_like(w) + w
        scale = scale.new_empty(2)
        with torch.no_grad():
            scale.copy_(w.abs())
        return (w * scale).sum()

    tape = taped(w, loss_of)
    tape.check()
    assert tape.loss([torch.tensor([1.0, 1.0])]).item() == 3.0


def test_what_is_only_looked_at_without_gradients_is_no_constant():
    def loss_of(w):
        h = 2 * w
        with torch.no_grad():
            [int(one) for one in h]
            (~(h > 0)).any()
        return h.sum()

    tape = taped(torch.tensor([2.0, -1.0], requires_grad=True), loss_of)
    assert tape.loss([torch.tensor([1.0, 1.0])]).item() == 4.0


def test_what_follows_the_parameters_without_a_gradient_is_computed_anew():
    w = torch.tensor([2.0, -1.0], requires_grad=True)
    tape = taped(w, lambda w: (w * (w > 0)).sum())
    assert tape.loss([torch.tensor([-1.0, 5.0])]).item() == 5.0


def test_a_loss_that_nothing_visible_made_is_a_flaw():
    w = torch.ones(3, requires_grad=True)
    loss = w.sum()
    with pytest.raises(TapeError, match="no visible call computed the loss"):
        TapeRecorder().take(loss).check()


def test_a_sum_in_place_leaves_the_programs_own_sum_alone():
    x, y = table()
    model = network()
    kept = {}

    def loss_of(model):
        total = kept["total"] = torch.zeros(())
        for rows in (slice(0, 20), slice(20, 48)):
            total += F.cross_entropy(model(x[rows]), y[rows])
        return total

    tape = taped(model, loss_of)
    before = kept["total"].item()
    tape.check()
    assert kept["total"].item() == before


def test_a_mask_changed_in_place_is_the_programs_own():
    x = torch.tensor([1.0, -1.0, 1.0])
    kept = {}

    def loss_of(w):
        kept["mask"] = mask = x > 0
        mask &= w > 0
        return (w * mask).sum()

    tape = taped(torch.tensor([1.0, 1.0, -1.0], requires_grad=True), loss_of)
    assert tape.loss([torch.tensor([1.0, 1.0, 5.0])]).item() == 6.0
    assert kept["mask"].tolist() == [True, False, False]


def test_an_embedding_with_a_largest_norm_is_not_shrunk_twice():
    words = nn.Embedding(5, 3, max_norm=0.5)
    tape = taped(words, lambda words: words(torch.tensor([0, 1, 4])).sum())
    before = words.weight.detach().clone()
    with torch.no_grad():
        words.weight.mul_(3.0)
    with contextlib.suppress(TapeError):
        tape.check()
    assert torch.equal(words.weight, 3.0 * before)


def test_accumulated_passes_are_summed_in_a_step(tmp_path):
    found = []

    def probe(step):
        values = [b.requires_grad_() for b in step.before]
        gradients = torch.autograd.grad(step.loss(values), values)
        pairs = zip(gradients, step.before, step.after, strict=True)
        found.append([torch.allclose(b - 0.1 * g, a, atol=1e-6) for g, b, a in pairs])
        return {}

    recorded(PROGRAMS["accumulation"], tmp_path, [probe])
    assert len(found) == 4
    assert all(all(rows) for rows in found)


def test_an_empty_tape_has_no_loss():
    with pytest.raises(TapeError):
        Tape([], [], [], -1, torch.tensor(0.0), 0, "nothing").loss([])
