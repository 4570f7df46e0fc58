"""Adapters change what they should: against transformers with merged weights, and PEFT's files and back."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaModel

from playloop.nn.adapter import (
    CONFIG,
    WEIGHTS,
    adapter_slots,
    read_adapter,
    read_adapter_config,
    read_factors,
    write_adapter,
)
from playloop.nn.adapter_settings import PLAIN
from playloop.nn.decoder import Llama, Rotary
from playloop.nn.layers import Conv2d, Linear
from playloop.nn.llama import LlamaSizes
from playloop.nn.lora import LoRAConfig, LoRALinear, adapt, adapters, merge, without_adapters
from playloop.nn.slots import Slot, fill_slots, llama_slots

SIZES = LlamaSizes(width=32, layers=2, heads=4, groups=2, hidden=48)
SLOTS = llama_slots(SIZES, "", "")
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TOKENS = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(3))


def reference() -> LlamaModel:
    torch.manual_seed(0)
    return LlamaModel(
        LlamaConfig(
            vocab_size=8,
            hidden_size=SIZES.width,
            num_hidden_layers=SIZES.layers,
            num_attention_heads=SIZES.heads,
            num_key_value_heads=SIZES.groups,
            intermediate_size=SIZES.hidden,
            rms_norm_eps=SIZES.eps,
            attn_implementation="eager",
        )
    ).eval()


def ours(theirs: LlamaModel) -> Llama:
    model = Llama(SIZES)
    state = {name: value for name, value in theirs.state_dict().items() if "embed" not in name}
    fill_slots(model, SLOTS, state.items())
    return model


def run(model: Llama) -> torch.Tensor:
    rotary = Rotary(SIZES, 5, torch.float32, "cpu").at(torch.arange(5))
    hidden = torch.ones(5, 5, dtype=torch.bool).triu(1)
    with torch.no_grad():
        return model(TOKENS, rotary, torch.zeros(5, 5).masked_fill(hidden, float("-inf")))


def run_theirs(model: LlamaModel) -> torch.Tensor:
    with torch.no_grad():
        return model(inputs_embeds=TOKENS).last_hidden_state


def random_adapter(folder, rank: int = 4, alpha: float = 6.0, only: tuple[str, ...] = LAYERS) -> None:
    """An adapter as PEFT writes it, of random numbers."""
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, value in reference().state_dict().items():
        if (layer := name.removesuffix(".weight")).endswith(only):
            for part, shape in (("A", (rank, value.shape[1])), ("B", (value.shape[0], rank))):
                key = f"base_model.model.{layer}.lora_{part}.weight"
                tensors[key] = 0.3 * torch.randn(shape, generator=generator)
    folder.mkdir()
    save_file(tensors, folder / WEIGHTS)
    record = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": list(only),
        "bias": "none",
    }
    (folder / CONFIG).write_text(json.dumps(record | {"use_dora": False, "rank_pattern": {}}))


def adapted(folder) -> Llama:
    model = ours(reference())
    adapt(model, SLOTS, read_adapter_config(folder), torch.Generator().manual_seed(7))
    read_adapter(folder, model)
    return model


@pytest.mark.parametrize("only", [LAYERS, ("q_proj", "v_proj")])
def test_published_adapter_does_what_merging_into_the_published_weights_does(tmp_path, only):
    random_adapter(tmp_path / "adapter", only=only)
    stored, theirs = load_file(tmp_path / "adapter" / WEIGHTS), reference()
    with torch.no_grad():
        for name, value in theirs.named_parameters():
            key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
            if f"{key}A.weight" in stored:
                value += 6.0 / 4 * stored[f"{key}B.weight"] @ stored[f"{key}A.weight"]
    model = adapted(tmp_path / "adapter")
    wanted, base = run_theirs(theirs), run_theirs(reference())
    assert (wanted - base).abs().max() > 0.1
    assert torch.allclose(run(model), wanted, atol=2e-5)
    with without_adapters(model):
        assert torch.allclose(run(model), base, atol=2e-5)
    assert torch.allclose(run(model), wanted, atol=2e-5)
    merge(model)
    assert not adapters(model) and [name for name, _ in model.named_parameters()] == [
        name for name, _ in Llama(SIZES).named_parameters()
    ]
    assert torch.allclose(run(model), wanted, atol=2e-5)


def test_files_come_back_bit_for_bit(tmp_path):
    random_adapter(tmp_path / "adapter")
    write_adapter(tmp_path / "again", adapted(tmp_path / "adapter"), base="openvla/openvla-7b")
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("adapter", "again"))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert read_adapter_config(tmp_path / "again") == LoRAConfig(4, 6.0)
    third = adapted(tmp_path / "again")
    assert torch.equal(run(third), run(adapted(tmp_path / "adapter")))


def test_new_adapters_change_nothing_and_alone_are_trained():
    model = ours(reference()).to(torch.bfloat16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapt(model, SLOTS, LoRAConfig(rank=8), torch.Generator().manual_seed(0))
    layer = model.get_submodule("blocks.0.attention.project")
    assert isinstance(layer, LoRALinear) and layer.config.scale == 1.0
    assert LoRAConfig().scale == 0.5  # OpenVLA's: rank 32, alpha 16
    assert layer.lora_a.std().item() == pytest.approx(1 / 8, rel=0.1) and layer.lora_a.mean().abs() < 0.02
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    assert all("lora_" in name and value.dtype == torch.float32 for name, value in trained.items())
    assert len(trained) == 2 * (4 + 7)  # four products of seven published layers a block
    merge(model)
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert after["blocks.0.mlp.inner.weight"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("sizes", "wanted"), [({"rank": "abc"}, "rank='abc': use a whole"), ({"alpha": "x"}, "alpha='x'")]
)
def test_sizes_of_another_type_are_refused(sizes, wanted):
    with pytest.raises(ValueError, match=wanted):
        LoRAConfig(**sizes)


def test_merging_adds_in_float32_and_rounds_once():
    layer = ours(reference()).to(torch.bfloat16)
    adapt(layer, SLOTS, LoRAConfig(rank=2), torch.Generator().manual_seed(0))
    product = layer.get_submodule("blocks.1.mlp.outer")
    assert isinstance(product, LoRALinear)
    torch.nn.init.normal_(product.lora_b[0], std=0.01, generator=torch.Generator().manual_seed(1))
    exact = product.weight.double() + (product.lora_b[0].double() @ product.lora_a.double())
    error = (product.merged().weight.double() - exact).abs()
    assert (error <= 1.001 * 2**-8 * exact.abs() + 1e-9).all()  # half a step of bfloat16: rounded once


def test_a_convolution_is_adapted_as_peft_does():
    generator = torch.Generator().manual_seed(2)
    base = torch.nn.Sequential(Conv2d(3, 6, 4, stride=4), Conv2d(6, 5, 3, padding=1, bias=False))
    images = torch.randn(2, 3, 8, 8, generator=generator)
    wanted = base(images)
    slots = {"stem.weight": Slot("0.weight"), "stem.bias": Slot("0.bias"), "next.weight": Slot("1.weight")}
    adapt(base, slots, LoRAConfig(rank=2, alpha=3.0), generator)
    assert torch.equal(base(images), wanted) and list(adapters(base)) == ["0", "1"]
    down, up = torch.nn.Conv2d(3, 2, 4, 4, bias=False), torch.nn.Conv2d(2, 6, 1, bias=False)
    tensors = {
        "base_model.model.stem.lora_A.weight": down.weight,
        "base_model.model.stem.lora_B.weight": up.weight,
    }
    fill_slots(base, {name: adapter_slots(base)[name] for name in tensors}, tensors.items())
    with torch.no_grad():
        first = base[0](images)
        with without_adapters(base):
            plain = base[0](images)
        assert torch.allclose(first, plain + 3 / 2 * up(down(images)), atol=1e-5)
        assert (first - plain).abs().max() > 0.05
        found = base(images)
        merge(base)
        assert type(base[0]) is Conv2d and torch.allclose(base(images), found, atol=1e-5)


def test_some_outputs_are_those_of_all():
    generator = torch.Generator().manual_seed(2)
    model = torch.nn.Sequential(Linear(6, 9))
    adapt(model, {"head.weight": Slot("0.weight")}, LoRAConfig(rank=2), generator)
    torch.nn.init.normal_(model[0].lora_b[0], generator=generator)
    x = torch.randn(3, 6, generator=generator)
    for rows in (slice(2, 5), torch.tensor([7, 0, 3])):
        some = model[0].rows(x, rows)
        assert torch.allclose(some, model(x)[:, rows], atol=1e-6)
        with without_adapters(model):
            assert torch.allclose(model[0].rows(x, rows), model(x)[:, rows], atol=1e-6)
            assert not torch.allclose(some, model(x)[:, rows], atol=1e-2)


def test_an_adapter_is_not_put_beside_weights_that_hold_it(tmp_path):
    """As PEFT does, the head's own weight is stored; other layers' are not."""
    generator = torch.Generator().manual_seed(2)
    slots = {"model.o_proj.weight": Slot("0.weight"), "model.lm_head.weight": Slot("1.weight")}

    def fresh() -> torch.nn.Sequential:
        torch.manual_seed(0)
        return torch.nn.Sequential(Linear(6, 5), Linear(5, 9)).to(torch.bfloat16)

    model = fresh()
    adapt(model, slots, LoRAConfig(rank=2), generator)
    for layer in model:
        torch.nn.init.normal_(layer.lora_b[0], generator=generator)
    write_adapter(tmp_path / "adapter", model)
    bases = {n: v for n, v in load_file(tmp_path / "adapter" / WEIGHTS).items() if "base_layer" in n}
    assert list(bases) == ["base_model.model.model.lm_head.base_layer.weight"]
    assert torch.equal(bases.popitem()[1], fresh()[1].weight)
    merge(model)
    wider = fresh().float()
    wider[1].weight.data *= 1 + 2**-12  # which bfloat16 does not hold
    for other in (fresh(), wider, model):
        adapt(other, slots, LoRAConfig(rank=2), generator)
    read_adapter(tmp_path / "adapter", wider)
    with pytest.raises(ValueError, match=r"was trained beside another checkpoint: model\.lm_head"):
        read_adapter(tmp_path / "adapter", model)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"rank": 0}, "rank=0: use a number of at least 1"),
        ({"alpha": 0.0}, "alpha=0.0: use a number above 0 or null"),
    ],
)
def test_sizes_that_train_nothing_are_refused(sizes, sentence):
    with pytest.raises(ValueError, match=sentence):
        LoRAConfig(**sizes)


def set_adapter(folder, **settings):
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize(
    "start", ["pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", "new", 1, []]
)
def test_adapters_beside_a_changed_base_are_refused(tmp_path, start):
    random_adapter(tmp_path / "adapter")
    model = adapted(tmp_path / "adapter")
    set_adapter(tmp_path / "adapter", init_lora_weights=start)
    for read in (read_adapter_config, read_factors, lambda folder: read_adapter(folder, model)):
        with pytest.raises(
            ValueError, match=r"adapter_config\.json: init_lora_weights=.*; convert it in PEFT"
        ):
            read(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("use_dora", True),
        ("use_rslora", True),
        ("use_qalora", True),
        ("lora_bias", True),
        ("fan_in_fan_out", True),
        ("bias", "lora_only"),
        ("ensure_weight_tying", True),
        ("peft_type", "IA3"),
        ("modules_to_save", ["lm_head"]),
        ("rank_pattern", {"q_proj": 8}),
        ("alpha_pattern", {"q_proj": 8}),
        ("layers_to_transform", [0]),
        ("layer_replication", [[0, 2]]),
        ("target_parameters", ["experts.weight"]),
        ("trainable_token_indices", [1]),
        ("alora_invocation_tokens", [1, 2]),
        ("use_bdlora", {"nblocks": 2}),
        ("arrow_config", {"top_k": 1}),
        ("loftq_config", {"loftq_bits": 4}),
        ("corda_config", {"corda_method": "ipm"}),
        ("lora_ga_config", {"scale": "stable"}),
        ("megatron_config", {"tp": 2}),
        ("velora_config", {"x": 1}),
        ("use_something_new", True),
    ],
)
def test_adapters_of_other_kinds_are_refused(tmp_path, setting, value):
    random_adapter(tmp_path / "adapter")
    set_adapter(tmp_path / "adapter", **{setting: value})
    with pytest.raises(ValueError, match=rf"adapter_config\.json: {setting}="):
        read_adapter_config(tmp_path / "adapter")


@pytest.mark.parametrize(
    "sizes", [{"r": None}, {"r": 4.5}, {"r": "4"}, {"r": -1}, {"lora_alpha": []}, {"r": True}]
)
def test_sizes_of_the_wrong_type_are_refused(tmp_path, sizes):
    random_adapter(tmp_path / "adapter")
    set_adapter(tmp_path / "adapter", **sizes)
    with pytest.raises(ValueError, match="no usable r"):
        read_adapter_config(tmp_path / "adapter")


@pytest.mark.parametrize("start", [True, False, None, "gaussian", "orthogonal", "eva"])
def test_plain_adapters_of_every_version_are_read(tmp_path, start):
    """As PEFT 0.19 writes them: every field, switched off; and what changes nothing, switched on."""
    random_adapter(tmp_path / "adapter")
    off = {n: v for n, v in PLAIN.items() if n not in ("peft_type", "bias", "loftq_config")}
    inert = {"peft_version": "0.19.1", "auto_mapping": {"base_model_class": "OpenVLA"}, "revision": None}
    inert |= {"lora_dropout": 0.05, "megatron_core": "megatron.core", "qalora_group_size": 16}
    inert |= {"eva_config": {"rho": 2.0}, "exclude_modules": ["head"], "from_the_future": None}
    set_adapter(tmp_path / "adapter", init_lora_weights=start, **off, **inert, loftq_config={})
    assert read_adapter_config(tmp_path / "adapter") == LoRAConfig(4, 6.0)


def test_a_files_pattern_is_not_run(tmp_path):
    random_adapter(tmp_path / "adapter")
    set_adapter(tmp_path / "adapter", target_modules="(.*.*.*.*.*.*)*x$")
    read_adapter(tmp_path / "adapter", adapted(tmp_path / "adapter"))


def test_damage_is_told(tmp_path):
    random_adapter(tmp_path / "adapter")
    config = read_adapter_config(tmp_path / "adapter")
    model = ours(reference())
    adapt(model, SLOTS, config, torch.Generator())
    path = tmp_path / "adapter" / WEIGHTS
    tensors = load_file(path)
    first = min(tensors)
    for changed, sentence in (
        ({n: v for n, v in tensors.items() if n != first}, f"missing, {first}"),
        (
            tensors | {"base_model.model.other.lora_A.weight": torch.zeros(1)},
            "unknown, base_model.model.other",
        ),
        (tensors | {first: torch.zeros(3, 3)}, "another shape"),
    ):
        save_file(changed, path)
        with pytest.raises(ValueError, match=sentence):
            read_adapter(tmp_path / "adapter", model)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="damaged"):
        read_adapter(tmp_path / "adapter", model)
    with pytest.raises(FileNotFoundError, match=r"adapter_config\.json"):
        read_adapter(tmp_path, model)
    with pytest.raises(ValueError, match="parts are missing"):
        adapt(
            ours(reference()),
            {n: s for n, s in SLOTS.items() if "k_proj" not in n},
            config,
            torch.Generator(),
        )
