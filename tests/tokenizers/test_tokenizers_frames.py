import numpy as np
import pytest
import torch

from playloop.tokenizers.frames import FSQ, FrameTokenizerConfig
from playloop.worlds.checkpoint import load_tokenizer, save_part

SMALL = FrameTokenizerConfig(16, 24, channels=(16, 24), blocks=(1, 1), levels=(4, 3))


def test_ids_and_levels_are_inverse():
    fsq = FSQ((8, 5, 5, 5))
    ids = torch.arange(fsq.codes)
    digits = fsq.digits(ids)
    assert fsq.codes == 1000 and torch.equal(fsq.ids(digits), ids)
    assert (digits >= 0).all() and (digits < fsq.levels).all()
    assert fsq.center(digits).abs().max() == 1


def test_every_code_can_be_reached_and_rounding_passes_the_gradient():
    fsq = FSQ((4, 3))
    z = torch.linspace(-4, 4, 60)
    grid = torch.cartesian_prod(z, z).requires_grad_()
    levels = fsq.quantize(grid)
    assert len(fsq.ids(levels.detach()).unique()) == 12
    levels.sum().backward()
    assert (grid.grad > 0).all()


def test_neighbours_are_one_level_away():
    fsq = FSQ((2, 5, 3))
    digits = fsq.digits(torch.arange(fsq.codes)).float()
    for seed in range(5):
        moved = fsq.neighbours(digits, torch.Generator().manual_seed(seed))
        assert ((moved - digits).abs().sum(1) == 1).all()
        assert (moved >= 0).all() and (moved <= fsq.levels - 1).all()


def stripes(count, rng):
    """Frames with a bright band at a random place, uint8 [count, 16, 24, 3]."""
    frames = np.full((count, 16, 24, 3), 40, np.uint8)
    for frame, left in zip(frames, rng.integers(0, 20, count), strict=True):
        frame[:, left : left + 4] = (220, 120, 60)
    return torch.from_numpy(frames)


def test_it_learns_frames_and_forgives_neighbouring_codes():
    model = SMALL.make(seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    first = None
    for _ in range(250):
        loss, _ = model.loss({"images": stripes(32, rng)}, generator)
        first = first or float(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.25 * first
    frames = stripes(8, np.random.default_rng(9))
    ids = model.encode(frames)
    assert ids.shape == (8, model.tokens) == (8, 6) and ids.max() < model.codes == 12
    assert torch.equal(ids, model.encode(frames))
    error = (model.decode(ids).float() - frames.float()).square().mean()
    assert 10 * torch.log10(255**2 / error) > 15


def test_wrong_frames_and_sizes_are_refused():
    with pytest.raises(ValueError, match="resize them"):
        SMALL.make().encode(torch.zeros(1, 16, 16, 3, dtype=torch.uint8))
    with pytest.raises(ValueError, match="divided"):
        FrameTokenizerConfig(20, 24, channels=(16, 24), blocks=(1, 1)).make()
    with pytest.raises(ValueError, match="2 levels"):
        FSQ((5, 1))


def test_a_checkpoint_gives_the_same_frames(tmp_path):
    model = SMALL.make(seed=2)
    save_part(tmp_path / "t", SMALL, model.state_dict(), {"seed": 2})
    again, third = load_tokenizer(tmp_path / "t"), load_tokenizer(tmp_path / "t")
    frames = stripes(4, np.random.default_rng(1))
    assert torch.equal(again.encode(frames), third.encode(frames))
    with pytest.raises(ValueError, match="names; copy"):
        (tmp_path / "t/model.safetensors").write_bytes(b"other")
        load_tokenizer(tmp_path / "t")
    with pytest.raises(FileNotFoundError, match="missing"):
        load_tokenizer(tmp_path)
