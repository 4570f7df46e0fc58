"""How an episode looks: the recolourings of Visual Matching and the variants of Variant Aggregation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from playloop.envs.simpler.assets import asset_root
from playloop.envs.simpler.fractal.layouts import APPLE, CLOSE, NEAR, OPEN, PICK, FractalLayout

RECOLOURS = {
    "original": "",
    "tabletop 1": "_recolor_tabletop_visual_matching_1",
    "tabletop 2": "_recolor_tabletop_visual_matching_2",
    "cabinet 1": "_recolor_cabinet_visual_matching_1",
}
"""Name → suffix of the robot's URDF; every task of Visual Matching is evaluated with all four."""
TABLE = "google_pick_coke_can_1_v4"
FLAT = "frl_apartment_stage_simple"
PLAIN = ""
"""No stage at all: the cabinet stands on a white floor that the photograph hides."""

MODELS = {
    "coke can": ("baked_opened_coke_can_v2", "opened_coke_can"),
    "pepsi can": ("baked_opened_pepsi_can_v2", "opened_pepsi_can"),
    "7up can": ("baked_opened_7up_can_v2", "opened_7up_can"),
    "redbull can": ("baked_opened_redbull_can_v2", "opened_redbull_can"),
    "sprite can": ("opened_sprite_can", "opened_sprite_can"),
    "fanta can": ("opened_fanta_can", "opened_fanta_can"),
    "apple": ("baked_apple_v2", "apple"),
    "sponge": ("baked_sponge_v2", "sponge"),
    "orange": ("orange", "orange"),
    "blue plastic bottle": ("blue_plastic_bottle", "blue_plastic_bottle"),
    "spoon": ("bridge_spoon_generated_modified", "bridge_spoon_generated_modified"),
}
"""What instructions call an object → its model with a texture that holds the light, and without."""
FEW = ("pepsi can", "apple", "sponge", "orange")
MANY = ("7up can", "sprite can", "sponge", "orange", "fanta can", "spoon")


@dataclass(frozen=True)
class Look:
    """One appearance of a task.

    Args:
        name: for reports.
        stage: file of the surroundings, without folder and suffix; `PLAIN` for none.
        light: name of an entry of `scene.LIGHTS`.
        recolour: suffix of the robot's URDF.
        station: file of the cabinet, without suffix.
        photo: the photograph replaces all but the robot, the objects and the cabinet.
        glossy: the robot shines.
        baked: objects have the textures that hold their light; `matte` takes all gloss from them.
        distractors: further objects on the table.
        alone: only the two objects that the instruction names.
        traced: published with ray tracing.
    """

    name: str
    stage: str
    light: str
    recolour: str = ""
    station: str = ""
    photo: bool = False
    glossy: bool = True
    baked: bool = False
    matte: bool = False
    distractors: tuple[str, ...] = ()
    alone: bool = False
    traced: bool = False

    def model(self, name: str) -> str:
        """The model of an object that instructions call `name`."""
        return MODELS[name][0 if self.baked else 1]


@cache
def looks(task: int, suite: str) -> tuple[Look, ...]:
    """A task's appearances, in the published order.

    The camera's two tilts are not among the variants: the published averages leave them out.
    """
    if suite == "fractal":
        return tuple(replace(_matched(task), name=name, recolour=urdf) for name, urdf in RECOLOURS.items())
    return tuple(_variants(task))


def _matched(task: int) -> Look:
    """Visual Matching; "move near" has the textures of upstream's packaged task (v1), its scripts name v0."""
    if task in (OPEN, CLOSE, APPLE):
        return Look(
            "", PLAIN, "simple", "", "mk_station_recolor", photo=True, glossy=False, baked=True, traced=True
        )
    baked = task == NEAR  # the can of "pick coke can" keeps its plain texture
    return Look("", TABLE, "table", photo=True, baked=baked, matte=baked)


def _variants(task: int) -> list[Look]:
    if task in (OPEN, CLOSE, APPLE):
        base = Look("base", FLAT, "room", station="mk_station", traced=True)
        return [
            base,
            replace(base, name="background: bedroom", stage="modern_bedroom_no_roof"),
            replace(base, name="background: office", stage="modern_office_no_roof"),
            replace(base, name="lighting: brighter", light="room brighter"),
            replace(base, name="lighting: darker", light="room darker"),
            replace(base, name="cabinet: 2", station="mk_station2"),
            replace(base, name="cabinet: 3", station="mk_station3"),
        ]
    base = Look("base", TABLE, "table")
    others = [replace(base, name="distractors: none", alone=True)]
    if task == PICK:
        others = [
            replace(base, name="distractors: few", distractors=FEW),
            replace(base, name="distractors: many", distractors=MANY),
        ]
    return [
        base,
        replace(base, name="background: 1", stage=f"{TABLE}_alt_background"),
        replace(base, name="background: 2", stage=f"{TABLE}_alt_background_2"),
        replace(base, name="lighting: brighter", light="table brighter"),
        replace(base, name="lighting: darker", light="table darker"),
        *others,
        replace(base, name="table: 1", stage="Baked_sc1_staging_objaverse_cabinet1_h870"),
        replace(base, name="table: 2", stage="Baked_sc1_staging_objaverse_cabinet2_h870"),
    ]


FILES = {
    "stage": "data/hab2_bench_assets/stages/{}.glb",
    "model": "data/custom/models/{}",
    "robot": "mani_skill2_real2sim/assets/descriptions/googlerobot_description/"
    "google_robot_meta_sim_fix_wheel_fix_fingertip{}.urdf",
    "cabinet": "data/custom/{}.urdf",
    "photograph": "data/real_inpainting/{}.png",
}
"""What is read → where it lies in ManiSkill2_real2sim."""


def file_of(kind: str, name: str) -> Path:
    """A file of the assets, or the folder of an object's shapes, whether or not it is there.

    Args:
        kind: of `FILES`.
        name: without folder and suffix.
    """
    return asset_root() / "fractal" / FILES[kind].format(name)


@cache
def meshes(file: Path) -> tuple[Path, ...]:
    """The files of shapes that a URDF names, which lie beside it.

    Raises:
        ValueError: it is damaged.
    """
    try:
        tree = ElementTree.parse(file)
    except ElementTree.ParseError as error:
        raise ValueError(f"{file} is damaged ({error}); fetch SimplerEnv's assets again") from error
    return tuple(file.parent / name for shape in tree.iter("mesh") if (name := shape.get("filename")))


def lacking(look: Look, layout: FractalLayout) -> Path | None:
    """The first file that an episode needs and that is not there."""
    needed = [file_of("robot", look.recolour)]
    if look.stage:
        needed.append(file_of("stage", look.stage))
    if look.station:
        needed.append(file_of("cabinet", look.station))
    if look.photo:
        needed.append(file_of("photograph", layout.photo))
    names = [placed.name for placed in layout.objects] + list(look.distractors)
    needed += [file_of("model", look.model(name)) for name in names]
    absent = next((path for path in needed if not path.exists()), None)
    if absent:
        return absent
    shapes = (mesh for file in needed if file.suffix == ".urdf" for mesh in meshes(file))
    return next((path for path in shapes if not path.exists()), None)


def require_files(look: Look, layout: FractalLayout) -> None:
    """Refuse what cannot be built, before anything is.

    Raises:
        FileNotFoundError: names the first file that is missing.
    """
    if path := lacking(look, layout):
        raise FileNotFoundError(
            f"{look.name!r} needs {path}, which is not there; it comes with ManiSkill2_real2sim"
        )
