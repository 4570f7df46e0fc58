import pytest
import torch

from playloop.nn.layers import MLP, Linear
from playloop.nn.vision import Keypoints, Tower, patchify


def test_patchify_keeps_every_pixel_and_is_channels_last():
    images = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    patches = patchify(images, torch.float32)
    assert patches.shape == (2, 48, 4, 4) and patches.is_contiguous(memory_format=torch.channels_last)
    cell = patches[1, :, 2, 3].view(4, 4, 3)
    assert torch.equal(cell, images[1, 8:12, 12:16].float() / 64 - 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tower_shapes_and_types(dtype):
    tower = Tower((8, 16, 24), (1, 1, 0), condition=10, points=5)
    grid, points = tower(torch.randn(2, 48, 8, 8, dtype=dtype), torch.randn(2, 10, dtype=dtype))
    assert grid.shape == (2, 24, 2, 2) and grid.dtype == dtype
    assert points.shape == (2, 10) and points.abs().max() <= 1


def test_tower_refuses_uneven_stages():
    with pytest.raises(ValueError, match="block count"):
        Tower((8, 16), (1,), 4, 2)


def test_keypoints_find_the_hot_cell():
    keypoints = Keypoints(1, 1)
    with torch.no_grad():
        keypoints.heat.weight.fill_(100.0)
    heat = torch.zeros(1, 1, 5, 5)
    heat[0, 0, 1, 4] = 1
    assert torch.allclose(keypoints(heat), torch.tensor([[-0.5, 1.0]]), atol=1e-4)


def test_weights_stay_float32_and_get_gradients():
    layer = Linear(4, 3)
    layer(torch.randn(2, 4, dtype=torch.bfloat16)).float().sum().backward()
    assert layer.weight.dtype == torch.float32 and layer.weight.grad.dtype == torch.float32
    assert MLP(4, 8, 2)(torch.randn(2, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16
