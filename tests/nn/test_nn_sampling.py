import numpy as np
import pytest
import torch

from playloop.nn import kernels
from playloop.nn.sampling import (
    gumbel,
    inverse_cdf,
    likeliest,
    lowest_argmax,
    nucleus,
    rank_descending,
    restrict,
)
from playloop.worlds.sampler import SamplerConfig, kept, sample


def test_ties_go_to_the_lowest_index():
    scores = torch.tensor([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    assert lowest_argmax(scores).tolist() == [1, 0]
    assert rank_descending(scores).tolist() == [[2, 0, 1, 3], [0, 1, 2, 3]]


def test_gumbel_is_finite_and_standard():
    uniform = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    uniform[:2] = torch.tensor([0.0, 1 - 2**-24])
    noise = gumbel(uniform)
    assert noise.isfinite().all()
    assert abs(noise.mean() - 0.5772) < 0.01 and abs(noise.var() - torch.pi**2 / 6) < 0.03


def test_inverse_cdf_draws_the_distribution_and_nothing_impossible():
    probabilities = torch.tensor([0.0, 0.2, 0.0, 0.5, 0.3, 0.0])
    uniform = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    uniform[:2] = torch.tensor([0.0, 1 - 2**-24])
    drawn = inverse_cdf(probabilities.expand(len(uniform), -1), uniform)
    assert drawn[:2].tolist() == [1, 4]
    share = torch.bincount(drawn, minlength=6) / len(uniform)
    assert share[[0, 2, 5]].tolist() == [0, 0, 0]
    assert torch.allclose(share, probabilities, atol=0.01)


def test_restrict_leaves_legal_ids_alone():
    legal = torch.tensor([[True, False], [True, True]])
    assert restrict(torch.ones(1, 2, 2), legal).tolist() == [[[1.0, float("-inf")], [1.0, 1.0]]]
    assert restrict(torch.ones(2), None).tolist() == [1.0, 1.0]


CODES = 8192
RULES = [(0.5, None), (0.8, None), (0.95, None), (0.999, None), (1.0, 1), (1.0, 50), (1.0, 3000)]


def wanted_set(weights, top_p, top_k):
    """What may be drawn, by a plain sort: the likeliest until enough is held, and all that equal the last."""
    order = np.argsort(-weights, kind="stable")
    ordered = weights[order].astype(np.float64)
    held = np.cumsum(ordered)
    count = top_k or int((held - ordered < top_p * held[-1]).sum())
    return weights >= weights[order[count - 1]]


def many_logits(rows, seed, ties=False):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, rng.uniform(0.5, 4, (rows, 1)), (rows, CODES)).astype(np.float32)
    return np.round(logits * 8) / 8 if ties else logits


@pytest.mark.parametrize(("top_p", "top_k"), RULES)
@pytest.mark.parametrize("ties", [False, True])
def test_what_may_be_drawn_is_that_of_a_sort(top_p, top_k, ties):
    """Both rules of a CPU, of which each rounds its weights in its own way, against those very weights."""
    scratch = np.zeros(CODES, np.int32)
    for logits in many_logits(60, 1, ties):
        weights, left = logits.copy(), logits.copy()
        kernels.draw(weights, scratch, 0.5, 0.9, 1.0)
        kernels.draw(left, scratch, 0.5, 0.9, top_p, top_k or 0)
        assert np.array_equal(left > 0, wanted_set(weights, top_p, top_k))
        shares = (torch.from_numpy(logits) / 0.9).softmax(-1)
        found = nucleus(shares, top_p) if top_k is None else likeliest(shares, top_k)
        assert np.array_equal(found.numpy() > 0, wanted_set(shares.numpy(), top_p, top_k))


@pytest.mark.parametrize("sampler", [SamplerConfig(0.9, 0.8), SamplerConfig(1.2, 1.0, top_k=40)])
def test_thousands_of_draws_are_those_of_a_sort(sampler):
    logits = torch.from_numpy(many_logits(250, 2))
    uniform = torch.rand(len(logits), 8, generator=torch.Generator().manual_seed(3))
    exact = (logits.double() / sampler.temperature).softmax(-1).numpy()
    inside = np.stack([wanted_set(row, sampler.top_p, sampler.top_k) for row in exact])
    sums = np.cumsum(exact * inside, -1)
    rows = zip(sums, uniform.double().numpy() * sums[:, -1:], strict=True)
    wanted = np.stack([np.searchsorted(row, targets, side="right") for row, targets in rows])
    again = logits[:, None].expand(-1, 8, -1)
    assert np.array_equal(sample(again, uniform, sampler).numpy(), wanted)  # compiled, as on a CPU
    found = [inverse_cdf(kept(logits, sampler), uniform[:, draw]) for draw in range(8)]
    assert np.array_equal(torch.stack(found, 1).numpy(), wanted)  # PyTorch's, as on a GPU


def test_a_sampler_at_the_edges():
    """A share just below one, a hair's temperature, more than there is, nothing but equals."""
    logits = torch.tensor([[0.0, 3.0, 1.0, 3.0]])
    for sampler, wanted in (
        (SamplerConfig(1e-40, 0.5), [1, 3]),
        (SamplerConfig(1.0, 1 - 1e-9), [0, 1, 2, 3]),
        (SamplerConfig(1.0, 1e-9), [1, 3]),
        (SamplerConfig(1.0, 1.0, top_k=9), [0, 1, 2, 3]),
        (SamplerConfig(1.0, 1.0, top_k=1), [1, 3]),
    ):
        uniform = torch.linspace(0, 1 - 2**-24, 400)[None]
        rows = logits[:, None].expand(1, 400, 4)
        drawn = sample(rows, uniform, sampler)
        assert drawn.unique().tolist() == wanted
        assert torch.equal(inverse_cdf(kept(rows, sampler), uniform), drawn)


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"top_k": 5, "top_p": 0.7}, "top_k=5 and top_p=0.7 exclude each other.*set top_p=1"),
        ({"top_k": 0, "top_p": 1.0}, "top_k=0: use a number of at least 1 or null"),
        ({"top_k": 2.5, "top_p": 1.0}, "top_k=2.5: use a whole number"),
        ({"temperature": float("nan")}, "temperature=nan: use a finite number"),
        ({"top_p": "0.8"}, "top_p='0.8': use a finite number"),
        ({"top_p": 0.0}, "top_p=0.0: use a number above 0 or null"),
    ],
)
def test_draws_that_make_no_sense_are_refused(choice, complaint):
    with pytest.raises(ValueError, match=complaint):
        SamplerConfig(**choice).check_draws()


def test_a_large_vocabulary_is_walked_to_the_same_ids():
    generator = torch.Generator().manual_seed(3)
    probabilities = torch.rand(40, 8192, generator=generator) ** 8
    probabilities[:, 1000:5000] = 0.0
    probabilities[:, -300:] = 0.0
    uniform = torch.rand(40, generator=generator)
    uniform[:2] = torch.tensor([0.0, 1 - 2**-24])
    found = inverse_cdf(probabilities, uniform)
    cumulative = probabilities.double().cumsum(-1)
    wanted = (cumulative <= uniform.double()[:, None] * cumulative[:, -1:]).sum(-1)
    assert torch.equal(found, wanted)
    assert (probabilities.gather(1, found[:, None]) > 0).all()
