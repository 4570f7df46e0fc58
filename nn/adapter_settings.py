"""PEFT's settings of an adapter: which of them mean a plain product of two matrices beside unchanged weights.

The fields are those of PEFT's `LoraConfig` from 0.4 to 0.20 (huggingface.co/docs/peft); each
has a rule here. A setting of a later version that is switched on is refused: nobody knows what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playloop.core.annotations import Positive
from playloop.core.checked import check_value
from playloop.nn.lora import LoRAConfig

SIZES = ("r", "lora_alpha", "target_modules", "exclude_modules")
"""Settings that are read."""

INERT = (
    "task_type",
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "peft_version",
    "lora_dropout",  # of training
    "layers_pattern",  # of layers_to_transform
    "megatron_core",  # of megatron_config
    "qalora_group_size",  # of use_qalora
    "runtime_config",  # where training kept its tensors
    "eva_config",  # chooses A before training; B is 0, so the base is as it was
)
"""Settings that do not change what a finished adapter is, whatever they are."""

PLAIN: dict[str, Any] = {
    "peft_type": "LORA",
    "bias": "none",
    "fan_in_fan_out": False,
    "use_dora": False,
    "use_rslora": False,
    "use_qalora": False,
    "lora_bias": False,
    "ensure_weight_tying": False,
    **dict.fromkeys(
        (
            "rank_pattern",
            "alpha_pattern",
            "modules_to_save",
            "layers_to_transform",
            "layer_replication",
            "megatron_config",
            "trainable_token_indices",
            "target_parameters",
            "alora_invocation_tokens",
            "alora_invocation_string",
            "use_bdlora",
            "arrow_config",
            "loftq_config",
            "corda_config",
            "lora_ga_config",
            "kasa_config",
            "monteclora_config",
            "velora_config",
        )
    ),
}
"""Settings under which an adapter is the product of two matrices and no more; absent ones mean the same."""

START = "init_lora_weights"
KEPT_BASE = (True, False, "gaussian", "orthogonal", "eva")
"""Ways of starting an adapter that leave the base as it was. All others ("pissa", "olora", "corda", "loftq",
"lora_ga") take something out of the base's weights first, and the product belongs beside what was left."""


def check_settings(record: Mapping[str, Any], path: Path) -> None:
    """Refuse an adapter that is more than a product of two matrices beside its base, or may be.

    Args:
        record: its settings.
        path: their file, for the error.

    Raises:
        ValueError: names the setting.
    """
    for name, value in record.items():
        if name == START:
            _check_start(value, path)
        elif name in PLAIN:
            plain = PLAIN[name]
            if value != plain and (value or plain):
                raise ValueError(f"{path}: {name}={value!r}; only plain LoRA, {name}={plain!r}, is read")
        elif name not in SIZES and name not in INERT and value:
            raise ValueError(
                f"{path}: {name}={value!r} is no setting that is known here, and it may change what the "
                "adapter means; merge it with PEFT, which wrote it, and give the merged checkpoint"
            )


def _check_start(value: Any, path: Path) -> None:
    if value is None or any(type(value) is type(kept) and value == kept for kept in KEPT_BASE):
        return
    raise ValueError(
        f"{path}: {START}={value!r} changes the base's weights before training, and this adapter belongs "
        "beside the changed ones; convert it in PEFT (save_pretrained with "
        "path_initial_model_for_weight_conversion), or merge it there"
    )


def sizes_of(record: Mapping[str, Any], path: Path) -> LoRAConfig:
    """Sizes of a plain adapter.

    Raises:
        ValueError: there are none.
    """
    try:
        check_value("lora_alpha", record.get("lora_alpha"), Positive)
        return LoRAConfig(record.get("r"), record["lora_alpha"])  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"{path} has no usable r and lora_alpha ({error}); copy it again") from error
