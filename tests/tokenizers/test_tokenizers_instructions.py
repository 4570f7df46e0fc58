import numpy as np
import pytest

from playloop.tokenizers.instructions import MiniLMConfig, NGramsConfig

TEXTS = ["pick up the milk and place it in the basket", "pick up the black bowl", "grab the milk"]


@pytest.mark.parametrize("config", [MiniLMConfig(), NGramsConfig()])
def test_rows_are_unit_vectors_that_do_not_depend_on_neighbours(config):
    encoder = config.make()
    together = encoder.encode(TEXTS)
    assert together.shape == (3, encoder.size) and together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([config.make().encode([text]) for text in TEXTS[:2]])
    assert np.array_equal(alone, together[:2])
    assert np.array_equal(encoder.encode(TEXTS[::-1]), together[::-1])
    assert together[0] @ together[2] > together[1] @ together[2]


def test_known_embeddings_need_no_network(tmp_path):
    known = {"push": np.ones(384, np.float32)}
    encoder = MiniLMConfig(folder=str(tmp_path / "absent")).make()
    encoder.known = dict(known)
    assert np.array_equal(encoder.encode(["push", "push"]), np.ones((2, 384)))
    with pytest.raises(OSError):
        encoder.encode(["pull"])
