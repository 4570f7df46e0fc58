"""PSNR and SSIM by their formulas, LPIPS and FVD by files in the published layout, all at their extremes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from metric_files import WIDTHS, linear_state, network_state, write_i3d, write_lpips
from scipy.linalg import sqrtm

from playloop.worlds.metrics import psnr, ssim
from playloop.worlds.metrics.fvd import I3D, frechet_distance, prepare
from playloop.worlds.metrics.lpips import LPIPS


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def disturbed(frames, by=40, seed=9):
    moved = frames.astype(int) + np.random.default_rng(seed).integers(-by, by + 1, frames.shape)
    return np.clip(moved, 0, 255).astype(np.uint8)


# ---------------------------------------------------------------------------------------------- frames


def test_equal_frames_reach_the_best_values():
    frames = noise(3, 24, 32, 3)
    assert psnr(frames, frames).tolist() == [np.inf] * 3
    np.testing.assert_allclose(ssim(frames, frames), 1.0, atol=1e-12)


def test_known_values():
    black, white = np.zeros((1, 16, 16, 3), np.uint8), np.full((1, 16, 16, 3), 255, np.uint8)
    assert psnr(black, white) == pytest.approx(0.0)
    assert ssim(black, white) == pytest.approx(0.01**2 / (1 + 0.01**2))
    assert psnr(black, black + 1) == pytest.approx(20 * np.log10(255))
    gray = np.full((1, 16, 16, 3), 100, np.uint8)
    one = (0.01 * 255) ** 2
    assert ssim(gray, gray + 50) == pytest.approx((2 * 100 * 150 + one) / (100**2 + 150**2 + one))


def slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Window by window, as in the paper."""
    places = np.arange(11) - 5
    weights = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    weights /= weights.sum()
    one, two, found = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for row in range(a.shape[0] - 10):
        for column in range(a.shape[1] - 10):
            for channel in range(3):
                x, y = (f[row : row + 11, column : column + 11, channel].astype(float) for f in (a, b))
                mx, my = (weights * x).sum(), (weights * y).sum()
                sx, sy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                xy = (weights * (x - mx) * (y - my)).sum()
                luminance = (2 * mx * my + one) / (mx**2 + my**2 + one)
                found.append(luminance * (2 * xy + two) / (sx + sy + two))
    return float(np.mean(found))


def test_ssim_is_the_papers_formula():
    a = noise(2, 14, 17, 3)
    b = disturbed(a)
    np.testing.assert_allclose(ssim(a, b), [slow_ssim(*pair) for pair in zip(a, b, strict=True)], rtol=1e-9)


def test_psnr_is_its_formula():
    a = noise(20, 8, 6, 3)
    b = disturbed(a)
    error = ((a.astype(float) - b) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(psnr(a, b), 10 * np.log10(255**2 / error), rtol=1e-12)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_shapes_and_tensors(measure):
    a = noise(3, 5, 12, 14, 3)
    b = disturbed(a)
    found = measure(a, b)
    assert found.shape == (3, 5) and found.dtype == np.float64
    assert np.array_equal(measure(torch.from_numpy(a), torch.from_numpy(b)), found)
    assert np.array_equal(measure(a[1, 2], b[1, 2]), found[1, 2])


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        (noise(16, 16, 3), noise(16, 18, 3), "cannot be compared"),
        (noise(16, 16, 3).astype(np.float32), noise(16, 16, 3), "pass uint8"),
        (noise(3, 16, 16), noise(3, 16, 16), "pass uint8"),
        (noise(0, 16, 16, 3), noise(0, 16, 16, 3), "nothing to compare"),
    ],
)
def test_what_is_no_pair_of_frames_is_refused(measure, a, b, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure(a, b)


def test_ssim_wants_a_window():
    with pytest.raises(ValueError, match="window wants 11"):
        ssim(noise(10, 16, 3), noise(10, 16, 3))


# ------------------------------------------------------------------------------------------------ LPIPS


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_lpips_reads_the_published_layout_and_adds_up(tmp_path, kind):
    """Random weights in the published layout: reading and arithmetic are tested, not perception."""
    metric = LPIPS(**write_lpips(tmp_path, kind))
    a = noise(3, 64, 64, 3)
    near, far = disturbed(a, 10), disturbed(a, 120)
    assert metric(a, a).tolist() == [0.0] * 3
    assert (metric(a, near) < metric(a, far)).all() and (metric(a, near) > 0).all()
    np.testing.assert_allclose(metric(a, far), metric(far, a), rtol=1e-6)
    np.testing.assert_allclose(metric(a[None], far[None], batch=2)[0], metric(a, far), rtol=1e-5)
    expected = by_hand(a, far, kind)
    np.testing.assert_allclose(metric(a, far), expected, rtol=1e-4)


def by_hand(a, b, kind):
    """The definition, layer by layer from the state dictionary: another way to the same numbers."""
    state, linear = network_state(kind), linear_state(kind)
    numbers = [int(name.split(".")[1]) for name in state if name.startswith("features") and "weight" in name]
    pooled = {3: 3, 6: 3} if kind == "alex" else {5: 2, 10: 2, 17: 2, 24: 2}  # before which, and how wide
    compared = numbers if kind == "alex" else [2, 7, 14, 21, 28]

    def features(frames):
        x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 * 2 - 1
        x = (x - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).view(3, 1, 1)
        found = []
        for number in numbers:
            if number in pooled:
                x = torch.max_pool2d(x, pooled[number], 2)
            stride, padding = (4, 2) if (kind, number) == ("alex", 0) else (1, None)
            weight = state[f"features.{number}.weight"]
            x = torch.relu(torch.conv2d(x, weight, None, stride, padding or weight.shape[-1] // 2))
            if number in compared:
                found.append(x / x.square().sum(1, keepdim=True).sqrt().clamp_min(1e-10))
        return found

    assert len(compared) == len(WIDTHS[kind])
    layers = zip(features(a), features(b), linear.values(), strict=True)
    return sum(((x - y) ** 2 * weight).sum(1).mean((1, 2)) for x, y, weight in layers).numpy()


def test_lpips_refuses_other_weights(tmp_path):
    files = write_lpips(tmp_path, "alex")
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth does not exist"):
        LPIPS(**files | {"network": str(tmp_path / "nothing.pth")})
    with pytest.raises(ValueError, match=r"another network .* features\.0\.weight: file \(64, 3, 11, 11\)"):
        LPIPS(**files | {"kind": "vgg"})
    with pytest.raises(ValueError, match=r"network\.pth holds the weights of another network"):
        LPIPS(**files | {"linear": files["network"]})
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match="no file of weights"):
        LPIPS(**files | {"network": str(tmp_path / "text.pth")})
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="no state dictionary"):
        LPIPS(**files | {"network": str(tmp_path / "list.pth")})


class Evil:
    def __reduce__(self):
        return json.loads, ("{}",)


def test_lpips_runs_no_code_from_a_file(tmp_path):
    files = write_lpips(tmp_path, "alex")
    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="no file of weights"):
        LPIPS(**files | {"network": str(tmp_path / "evil.pth")})


# -------------------------------------------------------------------------------------------------- FVD


def test_frechet_distance_of_normal_distributions():
    """Samples with exactly the wanted mean and covariance: the closed form holds for them to rounding."""
    rng, d = np.random.default_rng(0), 6
    means = rng.normal(size=(2, d))
    roots = [rng.normal(size=(d, d)) for _ in range(2)]
    covariances = [root @ root.T for root in roots]
    cross = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(sum(covariances) - 2 * cross)
    sets = []
    for mean, root in zip(means, roots, strict=True):
        raw = rng.normal(size=(50, d))
        raw -= raw.mean(0)
        white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
        sets.append(white @ root.T + mean)
    assert frechet_distance(*sets) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(sets[0], sets[0]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(sets[0], sets[0] + 3) == pytest.approx(9 * d)
    assert frechet_distance(sets[0], 2 * sets[0] - means[0]) == pytest.approx(np.trace(covariances[0]))


@pytest.mark.parametrize(("n", "m"), [(5, 40), (40, 5), (3, 4), (60, 70)])
def test_frechet_distance_with_fewer_samples_than_features(n, m):
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, 20)), rng.normal(1, 2, size=(m, 20))
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values = np.linalg.eigvals(ca @ cb).real.clip(0)  # rounding makes the zeros slightly negative
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb) - 2 * np.sqrt(values).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_frechet_distance_wants_samples():
    with pytest.raises(ValueError, match="at least two samples"):
        frechet_distance(np.zeros((1, 4)), np.zeros((5, 4)))
    with pytest.raises(ValueError, match="equally many"):
        frechet_distance(np.zeros((5, 4)), np.zeros((5, 3)))


def test_i3d_sees_the_middle_square():
    video = np.zeros((2, 64, 128, 3), np.uint8)
    video[:, :, 32:96] = 255
    seen = prepare(torch.from_numpy(video))
    assert seen.shape == (3, 2, 224, 224) and seen[:, :, :, 4:-4].min() == pytest.approx(1.0)
    tall = prepare(torch.from_numpy(video.transpose(0, 2, 1, 3).copy()))
    assert torch.allclose(tall, seen.transpose(2, 3))
    exact = noise(1, 224, 384, 3)
    expected = torch.from_numpy(exact[:, :, 80:304]).permute(3, 0, 1, 2) / 127.5 - 1
    assert torch.allclose(prepare(torch.from_numpy(exact)), expected, atol=1e-5)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """TorchScript that is called as I3D is and has trivial features: all else is tested."""
    return I3D(write_i3d(tmp_path_factory.mktemp("i3d") / "i3d_torchscript.pt"))


def test_fvd_is_the_distance_of_features(network):
    true = noise(6, 12, 32, 32, 3) // 2
    made = disturbed(true, 60) + 40
    features = network.features(true)
    assert features.shape == (6, 24) and np.allclose(network.features(true, batch=4), features)
    low = true[0, :6, :16, :16].mean((0, 1, 2)) / 127.5 - 1  # first half, upper left quarter
    np.testing.assert_allclose(features[0].reshape(3, 2, 2, 2)[:, 0, 0, 0], low, atol=2e-2)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, network.features(made)) > 0.1


def test_fvd_refuses_what_it_cannot_use(network, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"name the file i3d_torchscript\.pt"):
        I3D(tmp_path / "nothing.pt")
    (tmp_path / "text.pt").write_text("no program")
    with pytest.raises(ValueError, match="no TorchScript"):
        I3D(tmp_path / "text.pt")
    with pytest.raises(ValueError, match="wants at least 10"):
        network.features(noise(2, 9, 32, 32, 3))
    with pytest.raises(ValueError, match="pass uint8"):
        network.features(noise(9, 32, 32, 3))
