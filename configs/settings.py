"""The settings of every verb: what they mean, what they may hold, and what they are unless set.

Parts that have a class (an environment, an agent, a trainer) declare theirs there; the YAML file of a verb
holds only which parts it has, and what differs in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from playloop.core.annotations import Count, Name, Natural, Positive

Section = dict[str, Any]
"""Settings of a part, which its own class declares."""
Folders = Name | list[Name]
Task = int | str | None
Tasks = list[int | str] | int | str | None
Control = Literal["random", "hold", "replay"]


@dataclass
class EpisodeSettings:
    """What all verbs that run episodes in an environment have.

    Args:
        env: the environment.
        agent: who acts.
        task: one task, by number or name.
        tasks: several, [0,1,5]; null: all of the suite.
        seed: another seed is another run: placements, and the random draws of agent and simulator.
        workers: simulator processes; 0: episodes run in this one.
        step_timeout: seconds until an environment that does not answer (built, begun or executing a plan) is
            replaced.
        out: folder of the results, given again to continue; null: a new one under runs/.
    """

    env: Section
    agent: Section
    task: Task = None
    tasks: Tasks = None
    seed: int = 0
    workers: Natural = 2
    step_timeout: Positive = 600
    out: str | None = None


@dataclass
class EvalSettings(EpisodeSettings):
    """Settings of `playloop eval`.

    Args:
        inits: stored initial states a task: a number is the first so many, [3,7] are these; null: all.
        episodes: at most so many.
        videos: of which a video is kept: so many a task, failures, all or none.
        control: who is judged beside the agent on the same episodes, to see what succeeds without skill:
            random, hold (keeps still) or replay (the agent's actions from another initial state, repeated
            without looking), or a list of them.
        shard: i/n, of n equal parts the i-th from 1, for as many machines; then `playloop join`.
    """

    inits: Count | list[Natural] | None = 2
    episodes: Count | None = None
    videos: Natural | list[str] | str | None = 1
    control: Control | list[Control] | None = None
    shard: Name | None = None


@dataclass
class EvalWorldSettings:
    """Settings of `playloop eval world=…`: whether imagined frames are near true ones, last and obey.

    Args:
        world: folder of a world model, also of a converted MineWorld, or the name of a shipped one.
        data: recordings that it was not trained on: a folder, or a list of them.
        out: folder of the results, given again to continue; null: a new one under runs/.
        evaluation: what is measured.
    """

    world: Name
    data: Folders
    evaluation: Section
    out: str | None = None


@dataclass
class RecordSettings(EpisodeSettings):
    """Settings of `playloop record`; placements are drawn afresh, never from stored initial states.

    Args:
        episodes: successful episodes wanted, spread over the tasks; the first have one more where it does not
            divide.
        stride: every so many steps become a row with images; 4 is enough to train policies and 4 times
            faster.
    """

    episodes: Count = 100
    stride: Count = 1


@dataclass
class TrainingSettings:
    """What all trainings have.

    Args:
        device: that trains; auto: a GPU where there is one.
        resident: keep all images on the GPU.
        processes: that decode videos, once.
        trainer: how it is trained.
        task: what is trained.
    """

    trainer: Section
    task: Section
    device: str = "auto"
    resident: bool = False
    processes: Natural = 2


@dataclass
class TrainSettings:
    """Settings of `playloop train`; what is trained adds its own.

    Args:
        data: folder that `playloop record` wrote or, for models of frames, of VPT recordings; or a list of
            them, [data/a,data/b].
        out: folder of the run, given again to continue; what is trained is in its checkpoint/.
        seed: of the data's order, the split, the initial weights and all noise.
        training: the training.
    """

    data: Folders
    out: Name
    training: TrainingSettings
    seed: int = field(default=0, kw_only=True)


@dataclass
class TrainPolicySettings(TrainSettings):
    """Settings of `playloop train`.

    Args:
        policy: the policy's network.
    """

    policy: Section


@dataclass
class TrainTokenizerSettings(TrainSettings):
    """Settings of `playloop train tokenizer=…`.

    Args:
        tokenizer: the frame tokenizer's sizes.
    """

    tokenizer: Section


@dataclass
class TrainWorldSettings(TrainSettings):
    """Settings of `playloop train world=…`.

    Args:
        world: the world model's sizes.
        tokenizer: folder of a frame tokenizer, or the name of a shipped one.
    """

    world: Section
    tokenizer: Name


@dataclass
class TrainInverseSettings(TrainSettings):
    """Settings of `playloop train inverse=…`.

    Args:
        inverse: the inverse-dynamics model's sizes.
    """

    inverse: Section


@dataclass
class TrainMineWorldSettings(TrainSettings):
    """Settings of `playloop train mineworld=…`.

    Args:
        mineworld: folder that `playloop convert` or a training wrote; or 300M_16f, 700M_16f, 1200M_32f, …:
            new weights.
        tokenizer: with new weights: folder of a VQ tokenizer, or of a MineWorld that has one.
    """

    mineworld: Name
    tokenizer: str | None = None


@dataclass
class TrainOpenVLASettings(TrainSettings):
    """Settings of `playloop train openvla=…`.

    Args:
        openvla: Hugging Face folder of the checkpoint to begin with.
        objective: what is minimised.
    """

    openvla: Name
    objective: Section


@dataclass
class PlaySettings:
    """Settings of `playloop play`.

    Args:
        env: the environment; played alone, or beside a world model.
        agent: who takes over when H is pressed.
        world: a world model, played beside env; alone if no env= is given.
        inverse: reads the actions of a clip that the world model goes on from; null: its last frame counts;
            auto: craft-inverse for models of the voxel world, else null.
        task: by number or name; null: the first.
        init: a stored initial state; null: a placement drawn from the seed.
        seed: of the first episode; every new one has the next.
        horizon: most actions an episode where the environment can be told; null: its own.
        fps: ticks a second; null: the environment's control rate.
        host: address to listen at: this machine only; elsewhere the page's address holds a token.
        port: 0 picks a free one.
        browser: open the page, where there is a screen.
        sessions: at a time, each in a process of its own.
        upload_megabytes: most of a clip or picture that the page sends.
        out: folder of the recordings; null: a new one under runs/.
        person: whose hands act.
    """

    person: Section
    env: Section | None = None
    agent: Section | None = None
    world: Name | None = None
    inverse: Name | None = "auto"
    task: Task = None
    init: Natural | None = None
    seed: int = 0
    horizon: Count | None = 24_000
    fps: Annotated[float, Gt(0), Le(240)] | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Ge(0), Le(65535)] = 8600
    browser: bool = True
    sessions: Count = 4
    upload_megabytes: Positive = 32
    out: str | None = None


@dataclass
class ServeSettings:
    """Settings of `playloop serve`.

    Args:
        env: whose conventions the agent acts under; null: those that its policy was made for.
        agent: who acts.
        policy: a class of your own that acts instead, module.Class.
        host: address to listen at: this machine only; elsewhere clients need the token.
        port: of WebSockets and HTTP; 0 picks a free one.
        zmq_port: of GR00T's ZeroMQ; 0 picks a free one, null: it is not spoken.
        token: that clients have to send; null: none here, elsewhere one that is printed.
        origins: of pages that may ask, [https://…].
        serving: how requests are taken.
    """

    serving: Section
    env: Section | None = None
    agent: Section | None = None
    policy: Name | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Ge(0), Le(65535)] = 8000
    zmq_port: Annotated[int, Ge(0), Le(65535)] | None = None
    token: Name | None = None
    origins: list[str] = field(default_factory=list)


@dataclass
class DecoderBenchSettings:
    """Settings of `playloop bench decoder`.

    Args:
        checkpoint: a folder, or the name of a shipped one.
        tasks: their numbers; null: all of the suite.
        inits: initial states of each task: how many, or which.
        folder: of the results.
    """

    checkpoint: Name = "libero"
    tasks: list[Natural] | None = None
    inits: Count | list[Natural] | None = 3
    folder: Name = "runs/decoder"


@dataclass
class BenchSettings:
    """Settings of `playloop bench`.

    Args:
        env: the environment of rollout and decoder.
        out: a JSON file for the result; null only prints it.
        seed: of rollout and decoder.
        episodes: of rollout, all of equal length, on either side.
        steps: of rollout: actions an episode, after settling.
        workers: of rollout: simulator processes of ours.
        decode: the bench decode.
        openvla: of decode with openvla.model=….
        decoder: the bench decoder.
        world: the bench world.
        mineworld: of world with mineworld.model=….
        craft: the bench craft.
        simpler: the bench simpler.
        play: the bench play.
        serve: the bench serve.
        train: the bench train.
        instructions: the bench instructions.
        record: folder that gets a JSON file of this run, beside those of others; null: none.
    """

    env: Section
    decode: Section
    openvla: Section
    world: Section
    mineworld: Section
    craft: Section
    simpler: Section
    play: Section
    serve: Section
    train: Section
    instructions: Section
    out: str | None = None
    record: str | None = None
    seed: int = 0
    episodes: Count = 6
    steps: Count = 160
    workers: Natural = 2
    decoder: DecoderBenchSettings = field(default_factory=DecoderBenchSettings)


@dataclass
class OutSettings:
    """Settings of `playloop convert` and `playloop merge`, beside those of what they do.

    Args:
        out: the folder to make; null: a new one under runs/.
    """

    out: str | None = None


SETTINGS: dict[str, type] = {
    "eval": EvalSettings,
    "eval_world": EvalWorldSettings,
    "record": RecordSettings,
    "train": TrainPolicySettings,
    "train_tokenizer": TrainTokenizerSettings,
    "train_world": TrainWorldSettings,
    "train_inverse": TrainInverseSettings,
    "train_mineworld": TrainMineWorldSettings,
    "train_openvla": TrainOpenVLASettings,
    "play": PlaySettings,
    "serve": ServeSettings,
    "bench": BenchSettings,
    "convert": OutSettings,
    "merge": OutSettings,
}
"""Name of a YAML file in configs/ → what its settings may hold."""
TRAINED = ("world", "inverse", "mineworld", "tokenizer", "openvla")
"""What is trained besides policies; the first that is named counts."""


def settings_name(verb: str, words: list[str]) -> str | None:
    """The key in `SETTINGS` that a command line is about; None for a verb without settings.

    >>> settings_name("train", ["tokenizer=craft", "data=a"])
    'train_tokenizer'
    """
    named = {word.partition("=")[0].lstrip("+") for word in words}
    parts = {"eval": ("world",), "train": TRAINED}.get(verb, ())
    found = next((f"{verb}_{part}" for part in parts if part in named), verb)
    return found if found in SETTINGS else None
