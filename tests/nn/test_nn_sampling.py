import pytest
import torch

from playloop.nn.sampling import gumbel, inverse_cdf, lowest_argmax, nucleus, rank_descending, restrict


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


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.8, 0.99])
def test_nucleus_is_that_of_a_sort(top_p):
    probabilities = torch.randn(50, 300, generator=torch.Generator().manual_seed(0)).mul(3).softmax(-1)
    ordered, order = probabilities.sort(-1, descending=True)
    wanted = torch.zeros_like(probabilities, dtype=torch.bool)
    wanted.scatter_(-1, order, ordered.cumsum(-1) - ordered < top_p)
    assert torch.equal(nucleus(probabilities, top_p) > 0, wanted)


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
