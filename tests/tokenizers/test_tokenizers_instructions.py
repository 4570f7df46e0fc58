import json

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


def encoder_folder(folder, **changes):
    folder.mkdir()
    config = {"model_type": "bert", "hidden_size": 384} | changes
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


def test_names_are_never_looked_up_and_foreign_folders_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("sentence-transformers/all-MiniLM-L6-v2", str(tmp_path)):
        with pytest.raises(FileNotFoundError, match=r"holds no sentence encoder: config\.json"):
            MiniLMConfig(folder=name).make().encode(["pull"])
    for number, change in enumerate(
        ({"model_type": "llama"}, {"hidden_size": 768}, {"model_type": ["bert"]})
    ):
        folder = encoder_folder(tmp_path / f"other{number}", **change)
        with pytest.raises(ValueError, match="instructions are embedded by a bert with 384"):
            MiniLMConfig(folder=str(folder)).make().encode(["pull"])


def test_code_of_a_folder_is_not_run(tmp_path):
    trap = tmp_path / "ran"
    code = f"open({str(trap)!r}, 'w')"
    in_config = encoder_folder(tmp_path / "a", auto_map={"AutoModel": "evil.Model"})
    in_tokenizer = encoder_folder(tmp_path / "b")
    (in_tokenizer / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["evil.T", None]}})
    )
    beside = encoder_folder(tmp_path / "c")
    adapter = encoder_folder(tmp_path / "d")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "evil/model"}))
    for folder in (in_config, in_tokenizer, beside):
        (folder / "evil.py").write_text(code)
    for folder in (in_config, in_tokenizer, beside, adapter):
        with pytest.raises(ValueError, match="wants to run code or load another model"):
            MiniLMConfig(folder=str(folder)).make().encode(["pull"])
    assert not trap.exists()


def test_runs_of_letters_are_no_longer_than_words():
    assert np.array_equal(*(NGramsConfig(letters=n).make().encode(["pull it"]) for n in (9, 10**12)))
