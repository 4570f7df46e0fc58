"""What published servers want to be shown of a robot, and how their actions are meant.

A preset names pictures and states by their keys on the wire; what is in them is made of the environment's by
`agents.fit`. LIBERO's pictures are turned by 180 degrees in the environment already, as all published data.

Sources, read: openpi `examples/libero/main.py`; openvla-oft `experiments/robot/libero/run_libero_eval.py` and
`vla-scripts/deploy.py`; Isaac-GR00T `examples/Libero/eval/run_libero_eval.py` (N1.5: `roll`, `pitch`
and `yaw` of its LIBERO state are axis times angle) and `embodiment_configs.py` (N1.6); vla-eval 0.8.0
`benchmarks/libero/benchmark.py` and `model_servers/groot.py`. The servers with their weights never ran here.
GR00T's state of the WidowX is taken as SimplerEnv gives it, without the turn of the hand that Bridge's own
recordings have; that could not be verified.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any

from playloop.agents.fit import Fit, View
from playloop.core.annotations import Name
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.robots import BRIDGE_CAMERA, FRACTAL_CAMERA, PANDA_CAMERAS, POSE

PANDA_STATE = (*POSE, "finger_left", "finger_right")
AGENTVIEW, WRIST = PANDA_CAMERAS
TASK = "annotation.human.action.task_description"
GROUPS = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
"""The order in which GR00T's parts make a state or an action."""


@checked(frozen=True)
class Preset:
    """What a server wants of one robot.

    Args:
        pictures: wire key → what the picture is made of.
        states: wire key → names, see `Fit.state`.
        instruction: wire key of the sentence; empty for none.
        groups: wire keys of an action's parts, in the environment's order, for servers that send it in parts.
        fit: everything else.
    """

    pictures: dict[str, View] = field(default_factory=dict)
    states: dict[str, tuple[Name, ...]] = field(default_factory=dict)
    instruction: str = "prompt"
    groups: tuple[Name, ...] = ()
    fit: Fit = field(default_factory=Fit)


def _singles(names: tuple[str, ...], keys: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """A state of its own for every key."""
    return {key: (name,) for key, name in zip(keys, names, strict=True)}


PRESETS = {
    "openpi-libero": Preset(
        {
            "observation/image": View(AGENTVIEW, (224, 224)),
            "observation/wrist_image": View(WRIST, (224, 224)),
        },
        {"observation/state": PANDA_STATE},
        fit=Fit("libero", execute=5),
    ),
    "oft-libero": Preset(
        {"full_image": View(AGENTVIEW), "wrist_image": View(WRIST)},
        {"state": PANDA_STATE},
        "instruction",
        fit=Fit("libero", gripper="opening", binary=True),
    ),
    "groot-libero": Preset(
        {"image": View(AGENTVIEW), "wrist_image": View(WRIST)},
        {**_singles(POSE, GROUPS[:6]), "gripper": ("finger_left", "finger_right")},
        TASK,
        GROUPS,
        Fit("libero", gripper="opening", binary=True, execute=8),
    ),
    "groot-simpler-widowx": Preset(
        {"image_0": View(BRIDGE_CAMERA, (256, 256), "area")},
        _singles(("x", "y", "z", "roll", "pitch", "yaw", "zero", "opening"), (*GROUPS[:6], "pad", "gripper")),
        TASK,
        GROUPS,
        Fit("simpler_widowx", orientation="euler-xyz", gripper="opening", binary=True),
    ),
    "groot-simpler-google": Preset(
        {"image": View(FRACTAL_CAMERA, (256, 320), "area")},
        _singles(
            (*POSE[:3], "quaternion_x", "quaternion_y", "quaternion_z", "quaternion_w", "gripper_closing"),
            (*POSE[:3], "rx", "ry", "rz", "rw", "gripper"),
        ),
        TASK,
        GROUPS,
        Fit("simpler_google_robot", orientation="euler-xyz", gripper="opening"),
    ),
    "vla-eval-libero": Preset(
        {"agentview": View(AGENTVIEW), "wrist": View(WRIST)},
        {"states": PANDA_STATE},
        "task_description",
        fit=Fit("libero", binary=True),
    ),
}
"""Name → preset."""
CHOICES = {
    ("openpi", "libero"): "openpi-libero",
    ("oft", "libero"): "oft-libero",
    ("groot", "libero"): "groot-libero",
    ("groot", "simpler_widowx"): "groot-simpler-widowx",
    ("groot", "simpler_google_robot"): "groot-simpler-google",
    ("vla-eval", "libero"): "vla-eval-libero",
}
"""Protocol and the environment's family → the preset that `auto` takes."""
GRIPPERS = {
    "binary_close_positive": None,
    "binary_close_negative": "opens-positive",
    "continuous_01": "opening",
}
"""What vla-eval calls a gripper's convention → ours; None: the environment's own."""


def preset_for(
    protocol: str, contract: Contract, metadata: dict[str, Any], fit: dict[str, Any], own: bool
) -> Preset:
    """What `agent.preset=auto` takes.

    Args:
        protocol: that the server speaks.
        contract: the environment's.
        metadata: what the server says of itself.
        fit: fields of `Fit` that the settings give.
        own: whether the settings say which pictures or states are sent; then nothing need be known.

    Raises:
        ValueError: nothing is known of such a server for this robot.
    """
    if "playloop" in metadata:
        return ours(metadata["playloop"])
    name = CHOICES.get((protocol, contract.family))
    if name is None and own:
        return Preset()
    if name is None:
        known = ", ".join(sorted({family for spoken, family in CHOICES if spoken == protocol})) or "no robot"
        raise ValueError(
            f"agent.preset=auto knows what servers of {protocol} want of {known}, not of {contract.family}; "
            "give agent.pictures, agent.states and agent.instruction"
        )
    return told(PRESETS[name], metadata, fit) if protocol == "vla-eval" else PRESETS[name]


def ours(facts: dict[str, Any]) -> Preset:
    """What a server of Playloop wants: all that its policy's contract has, under the contract's own names."""
    contract = Contract.from_json(facts["contract"], "the server's contract")
    return Preset(
        {f"images/{name}": View(name) for name in contract.cameras},
        {"state": contract.state_names} if contract.state_names else {},
        "instruction",
        fit=Fit(execute=facts.get("execute")),
    )


def told(preset: Preset, metadata: dict[str, Any], fit: dict[str, Any]) -> Preset:
    """A preset without what a vla-eval server does not ask for in its `hello`, with its gripper.

    Raises:
        ValueError: its gripper's convention is not known, and `fit` does not say it.
    """
    asked = metadata.get("observation_params") or {}
    pictures, states = dict(preset.pictures), dict(preset.states)
    if not asked.get("send_wrist_image", "wrist" in (metadata.get("observation_spec") or {})):
        pictures.pop("wrist", None)
    if not asked.get("send_state", "state" in (metadata.get("observation_spec") or {})):
        states.clear()
    spec = (metadata.get("action_spec") or {}).get("gripper") or {}
    form = spec.get("format", "binary_close_positive")
    if form not in GRIPPERS and "gripper" not in fit:
        raise ValueError(f"the server's gripper is {form!r}, which is not known here; give agent.fit.gripper")
    return replace(
        preset, pictures=pictures, states=states, fit=replace(preset.fit, gripper=GRIPPERS.get(form))
    )
