"""A synthetic checkpoint in the full published layout: round trip, further files, damage that is refused."""

from __future__ import annotations

import json

import pytest
import torch
from openvla_tiny import inputs_of, write
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from playloop.nn.shards import read_shards
from playloop.policies.openvla.checkpoint import open_checkpoint
from playloop.policies.openvla.files import read_openvla, write_openvla
from playloop.policies.openvla.synthetic import synthetic_tokenizer

STEP = "150000_checkpoint.pt"


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def flatten(folder, change):
    """All shards as one file, its tensors changed."""
    tensors = {}
    for path in sorted(folder.glob("model-*.safetensors")):
        tensors |= load_file(path)
        path.unlink()
    (folder / "model.safetensors.index.json").unlink()
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("kind", ["openvla", "oft", "parallel", "diffusion"])
@pytest.mark.parametrize("film", [False, True])
def test_round_trip_is_bit_for_bit(tmp_path, kind, film):
    first = write(tmp_path / "a", kind, film=film)
    model = read_openvla(first)
    assert len(list(first.glob("model-*.safetensors"))) > 1
    assert {value.dtype for value in model.state_dict().values()} == {torch.bfloat16}
    statistics = json.loads((first / "dataset_statistics.json").read_text())
    second = write_openvla(
        tmp_path / "b", model, statistics, (first / "tokenizer.json").read_text(), step=3, limit=10**9
    )
    assert (second / "model.safetensors").is_file()
    again = read_openvla(second)
    assert again.config == model.config and same(state_of(again), state_of(model))


def test_seeds_decide_everything(oft, tmp_path):
    one, same_seed, other = (
        state_of(read_openvla(folder))
        for folder in (oft, write(tmp_path / "b"), write(tmp_path / "c", seed=1))
    )
    assert same(one, same_seed)
    assert not any(torch.equal(value, other[name]) for name, value in one.items())


def test_tensors_have_the_published_names_and_end_up_where_they_belong(oft):
    tensors = {}
    for path in oft.glob("model-*.safetensors"):
        tensors |= load_file(path)
    model = read_openvla(oft)
    vision, language = "vision_backbone.", "language_model.model."
    assert {name.split(".")[0] for name in tensors} == {"vision_backbone", "projector", "language_model"}
    assert tensors[f"{vision}fused_featurizer.attn_pool.kv.weight"].shape == (24, 12)
    assert tensors[f"{vision}featurizer.blocks.2.attn.qkv.weight"].shape == (48, 16)
    assert tensors["language_model.lm_head.weight"].shape == (32064, 32)
    project = model.llama.blocks[1].attention.project.weight
    for number, name in enumerate("qkv"):
        theirs = tensors[f"{language}layers.1.self_attn.{name}_proj.weight"]
        assert torch.equal(project[32 * number : 32 * number + 32], theirs)
    inner = model.llama.blocks[0].mlp.inner.weight
    assert torch.equal(inner[:64], tensors[f"{language}layers.0.mlp.gate_proj.weight"])
    assert torch.equal(inner[64:], tensors[f"{language}layers.0.mlp.up_proj.weight"])
    scale = tensors[f"{vision}featurizer.blocks.1.ls2.scale_factor"]
    assert torch.equal(model.towers[0].blocks[1].scale_mlp, scale)
    assert torch.equal(model.table.weight, tensors[f"{language}embed_tokens.weight"])
    head = torch.load(oft / f"action_head--{STEP}", weights_only=True)
    assert torch.equal(
        head["module.model.mlp_resnet_blocks.1.ffn.1.weight"], model.action_head.blocks[1].layer.weight
    )
    assert head["module.model.fc1.weight"].shape == (32, 7 * 32)
    proprio = torch.load(oft / f"proprio_projector--{STEP}", weights_only=True)
    assert torch.equal(proprio["module.fc2.bias"], model.proprio.second.bias)


def test_a_type_can_be_asked_for(oft):
    half, whole = read_openvla(oft), read_openvla(oft, dtype=torch.float32)
    assert {value.dtype for value in whole.parameters()} == {torch.float32}
    assert same({n: v.float() for n, v in state_of(half).items()}, state_of(whole))
    assert not any(value.requires_grad for value in whole.parameters()) and not whole.training


def test_timm_s_name_of_a_layer_scale_is_accepted_and_dead_parts_may_be_absent(oft):
    wanted = state_of(read_openvla(oft))

    def change(tensors):
        for name in list(tensors):
            if "attn_pool" in name or ".blocks.2." in name:
                tensors.pop(name)
            elif name.endswith("scale_factor"):
                tensors[name.replace("scale_factor", "gamma")] = tensors.pop(name)
        tensors["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)

    flatten(oft, change)
    assert same(state_of(read_openvla(oft)), wanted)


def test_film_s_file_replaces_the_towers_and_lora_is_merged(tmp_path):
    folder = write(tmp_path / "a", "diffusion", film=True, dtype=torch.float32)
    before = read_openvla(folder, dtype=torch.float32)
    path = folder / f"vision_backbone--{STEP}"
    state = torch.load(path, weights_only=True)
    layer = "vision_backbone.featurizer.blocks.1.block.attn.qkv"
    noise = torch.Generator().manual_seed(5)
    base = state[f"{layer}.base_layer.weight"]
    down, up = torch.randn(32, 16, generator=noise), torch.randn(48, 32, generator=noise)
    state |= {f"{layer}.lora_A.default.weight": down, f"{layer}.lora_B.default.weight": up}
    torch.save(state, path)
    merged = read_openvla(folder, dtype=torch.float32).towers[0].blocks[1].project
    torch.testing.assert_close(merged.weight, base + 0.5 * up @ down)  # OFT: rank 32, alpha 16
    assert torch.equal(merged.bias, before.towers[0].blocks[1].project.bias)
    (folder / "lora_adapter").mkdir()
    adapter = folder / "lora_adapter" / "adapter_config.json"
    adapter.write_text(json.dumps({"r": 32, "lora_alpha": 64}))
    merged = read_openvla(folder, dtype=torch.float32).towers[0].blocks[1].project
    torch.testing.assert_close(merged.weight, base + 2 * up @ down)
    for record, complaint in (
        ({"r": 16, "lora_alpha": 16}, "of two runs"),
        ({"r": 32}, "no usable r and lora_alpha"),
        ({"r": 32, "lora_alpha": 16, "use_rslora": True}, "use_rslora=True"),
        ([], "not an object"),
    ):
        adapter.write_text(json.dumps(record))
        with pytest.raises(ValueError, match=complaint):
            read_openvla(folder)
    name = f"{layer}.lora_B.default.weight"
    for change in ({name: up.T.contiguous()}, {f"{layer}.lora_C.default.weight": up}):
        torch.save(state | change, path)
        with pytest.raises(ValueError, match=r"LoRA's factors|adapts no layer"):
            read_openvla(folder)
    state.pop(name)
    torch.save(state, path)
    with pytest.raises(ValueError, match="lacks one of LoRA's factors"):
        read_openvla(folder)


def test_the_latest_step_that_all_parts_have_is_taken(oft):
    latest = torch.load(oft / f"action_head--{STEP}", weights_only=True)
    early = {name: value + 1 for name, value in latest.items()}
    for part in ("action_head", "proprio_projector"):
        content = (oft / f"{part}--{STEP}").read_bytes()
        (oft / f"{part}--50000_checkpoint.pt").write_bytes(content)
    torch.save(early, oft / "action_head--50000_checkpoint.pt")
    torch.save(early, oft / "action_head--200000_checkpoint.pt")  # its proprio projector is not there
    name = "module.model.fc2.bias"
    assert torch.equal(read_openvla(oft).action_head.last.bias, latest[name])
    assert torch.equal(read_openvla(oft, step=50000).action_head.last.bias, early[name])
    with pytest.raises(
        ValueError, match=r"step 200000 not for every part \(.*proprio_projector: 50000, 150000"
    ):
        read_openvla(oft, step=200000)
    for path in oft.glob("*--50000_checkpoint.pt"):
        path.rename(oft / path.name.replace("50000", "latest"))
    assert torch.equal(read_openvla(oft).action_head.last.bias, early[name])


def test_a_part_that_would_run_code_is_refused(oft, tmp_path):
    class Malice:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    path = oft / f"proprio_projector--{STEP}"
    torch.save({"module.fc1.weight": Malice()}, path)
    with pytest.raises(ValueError, match="was not run"):
        read_openvla(oft)
    assert not (tmp_path / "ran").exists()


def rename(old, new):
    return lambda tensors: tensors.update({new: tensors.pop(old)})


def reshape(name, shape):
    return lambda tensors: tensors.update({name: torch.zeros(shape)})


def as_double(name):
    return lambda tensors: tensors.update({name: tensors[name].double()})


def as_bytes(name):
    return lambda tensors: tensors.update({name: tensors[name].to(torch.float8_e4m3fn)})


def spoil(name, value):
    return lambda tensors: tensors[name].view(-1)[-1:].fill_(value)


def both_names(tensors):
    name = "vision_backbone.featurizer.blocks.0.ls1.scale_factor"
    tensors[name.replace("scale_factor", "gamma")] = tensors[name].clone()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            rename("projector.fc1.bias", "projector.fc9.bias"),
            "1 tensors are missing, projector.fc1.bias first; 1 are",
        ),
        (
            lambda tensors: tensors.pop("language_model.lm_head.weight"),
            "missing, language_model.lm_head.weight first",
        ),
        (lambda tensors: tensors.update(more=torch.zeros(1)), "1 are unknown, more first"),
        (reshape("projector.fc1.bias", (4,)), "projector.fc1.bias first: (4,), not (112,)"),
        (reshape("vision_backbone.featurizer.norm.bias", (4,)), "norm.bias has the shape (4,), not (16,)"),
        (as_double("projector.fc1.bias"), "projector.fc1.bias has the type F64"),
        (as_bytes("projector.fc1.bias"), "projector.fc1.bias has the type F8_E4M3"),
        (spoil("projector.fc1.weight", float("nan")), "projector.fc1.weight holds NaN or infinity"),
        (spoil("projector.fc1.weight", -float("inf")), "projector.fc1.weight holds NaN or infinity"),
        (both_names, "ls1.scale_factor comes twice"),
    ],
)
def test_wrong_tensors_are_named(oft, change, complaint):
    flatten(oft, change)
    with pytest.raises(ValueError) as caught:
        read_openvla(oft)
    assert complaint in str(caught.value) and str(oft) in str(caught.value)


def test_a_shard_that_is_cut_off_is_refused_before_anything_is_loaded(oft):
    last = max(oft.glob("model-*.safetensors"))
    last.write_bytes(last.read_bytes()[:-2])
    with pytest.raises(ValueError, match="is cut off"):
        open_checkpoint(oft)


def test_the_synthetic_tokenizer_has_openvla_s_ids(oft):
    tokenizer = Tokenizer.from_file(str(oft / "tokenizer.json"))
    named = {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 29871, "<PAD>": 32000}
    assert {name: tokenizer.token_to_id(name) for name in named} == named
    assert tokenizer.get_vocab_size() == 32001 and tokenizer.token_to_id("<mask>") is None
    with_mask = Tokenizer.from_str(synthetic_tokenizer(mask=True))
    assert with_mask.get_vocab_size() == 32002 and with_mask.token_to_id("<mask>") == 32001
    text = "In: What action should the robot take to pick up the alphabet soup, 7 times?\nOut:"
    ids = tokenizer.encode(text).ids
    assert ids[0] == 1 and tokenizer.encode(text + " ").ids == [*ids, 29871]
    assert not set(ids) & {0, *range(31744, 32000)}
    bytes_read = tokenizer.encode("¡ñ!").ids
    assert not set(bytes_read) & {0, *range(31744, 32000)} and set(bytes_read) & set(range(3, 259))
    glyphs = "".join(tokenizer.id_to_token(number) for number in range(31744, 32000))
    assert tokenizer.encode(glyphs, add_special_tokens=False).ids[1:] == list(range(31744, 32000))


def test_a_model_that_was_read_computes(oft):
    model = read_openvla(oft, dtype=torch.float32)
    images, proprio, prompt = inputs_of(model.config)
    prefix = model.prefix(model.see(images), proprio, prompt)
    block = model.blank(2)
    hidden = model(prefix, block, model.layout(prefix, block.shape[1]))
    actions = model.act(hidden[:, : model.config.tokens])
    assert actions.shape == (2, 8, 7) and actions.isfinite().all() and actions.std() > 0.01
    assert sum(entry.elements for entry in read_shards(oft).values()) > sum(
        value.numel()
        for name, value in model.named_parameters()
        if not name.startswith(("action", "proprio"))
    )
