"""From imagined tokens to figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from playloop.rollouts.judging import control, quality
from playloop.rollouts.judging.branching import BRANCHES
from playloop.rollouts.judging.clips import Clip
from playloop.rollouts.judging.dream import DreamStore
from playloop.rollouts.judging.quality import PERSISTENCE, TOKENIZER, Measures, Scores, Shown, window_name
from playloop.rollouts.judging.workload import Workload, job_key

Named = dict[str, dict[str, np.ndarray]]


@dataclass
class Pictures:
    """What the report shows: label of a clip → kind → frames uint8 [F, H, W, 3]; curves of long dreams."""

    clips: Named = field(default_factory=dict)
    drifts: Named = field(default_factory=dict)
    branches: Named = field(default_factory=dict)  # the last frames of all actions, uint8 [k, H, W, 3]
    curves: Named = field(default_factory=dict)  # group → name → mean over the clips at every frame [F]


Reader = Callable[[np.ndarray], np.ndarray]
"""Frames uint8 [T, H, W, 3] → action vectors float32 [T - 1, 25], as `InverseModel.infer`."""


class Judge:
    """Compares what a store holds with recordings and the true game; without `read` no actions are read."""

    def __init__(self, workload: Workload, store: DreamStore, measures: Measures, read: Reader | None):
        self.workload, self.store, self.measures, self.read = workload, store, measures, read
        self.window = workload.windows[0]
        self.pictures = Pictures()

    def judge(self) -> dict[str, Any]:
        return {**self._clips(), "drift": self._drifts(), "control": self._branches()}

    # ------------------------------------------------------------------------------------------- clips

    def _clips(self) -> dict[str, Any]:
        workload = self.workload
        scores: list[Scores] = []
        targets: list[np.ndarray] = []
        predicted: dict[str, list[np.ndarray]] = {}
        for clip in workload.clips:
            shown, last = self._shown(clip)
            scores.append(quality.score(shown, self.measures.by_frame))
            self.measures.watch(shown)
            if len(self.pictures.clips) < workload.config.strips:
                self.pictures.clips[clip.label] = {"true": shown.true, **shown.frames}
            if self.read is not None:
                targets.append(workload.recordings.actions(clip)[workload.context - 1 :])
                for kind, frames in {"true": shown.true, **shown.frames}.items():
                    predicted.setdefault(kind, []).append(
                        self.read(np.concatenate([last[kind][None], frames]))
                    )
        found = {"quality": self._quality(scores)}
        if self.read is not None:
            found["following"] = control.following(
                np.stack(targets), {kind: np.stack(vectors) for kind, vectors in predicted.items()}
            )
        return found

    def _shown(self, clip: Clip) -> tuple[Shown, dict[str, np.ndarray]]:
        """The clip behind its context, and the context's last frame as every kind shows it."""
        workload, context = self.workload, self.workload.context
        images = workload.recordings.frames(clip)
        tokens = workload.frames.encode(images[context - 1 :])
        true = images[context:]
        decoded = workload.frames.decode(tokens)
        frames, guesses = {}, {}
        for window in workload.windows:
            guess = self.store[job_key("clip", clip, window)]
            frames[window_name(window)], guesses[window_name(window)] = workload.frames.decode(guess), guess
        frames[PERSISTENCE] = np.repeat(images[context - 1 : context], len(true), 0)
        guesses[PERSISTENCE] = np.repeat(tokens[:1], len(true), 0)
        frames[TOKENIZER] = decoded[1:]
        last = dict.fromkeys(frames, decoded[0]) | dict.fromkeys(("true", PERSISTENCE), images[context - 1])
        return Shown(true, tokens[1:], frames, guesses), last

    def _quality(self, scores: list[Scores]) -> dict[str, Any]:
        own, others = window_name(self.window), self.workload.windows[1:]
        return {
            "kinds": quality.summarize(scores),
            "over_persistence": quality.difference(scores, own, PERSISTENCE),
            "over_other_windows": {
                str(other): quality.difference(scores, own, window_name(other)) for other in others
            },
            "videos": self.measures.of_videos(),
        }

    # ------------------------------------------------------------------------------------ long dreams

    def _drifts(self) -> dict[str, Any]:
        workload = self.workload
        if not workload.drifts:
            return {"left_out": "drift_clips=0, or no episode is longer than the context"}
        found = [self._drift(clip) for clip in workload.drifts]
        self.pictures.curves = {
            group: {name: np.mean([one[group][name] for one in found], 0) for name in found[0][group]}
            for group in found[0]
        }
        return {
            "clips": len(found),
            "frames": workload.drift_frames,
            "curves": quality.drift_figures(found),
        }

    def _drift(self, clip: Clip) -> Named:
        """Curves of one long dream: group → name → [F]."""
        workload, context = self.workload, self.workload.context
        images = workload.recordings.frames(clip)
        true, last = images[context:], images[context - 1]
        tokens, guess = workload.frames.encode(true), self.store[job_key("drift", clip, self.window)]
        imagined, decoded = workload.frames.decode(guess), workload.frames.decode(tokens)
        if len(self.pictures.drifts) < workload.config.strips:
            self.pictures.drifts[clip.label] = {"true": true, "imagined": imagined}
        shown = {"true": (true, tokens), "imagined": (imagined, guess), TOKENIZER: (decoded, tokens)}
        seen = {kind: quality.signs(*pair) for kind, pair in shown.items()}
        groups = {name: {kind: signs[name] for kind, signs in seen.items()} for name in seen["true"]}
        del groups["entropy"][TOKENIZER]  # the true frames' tokens are its own
        return {"psnr": quality.drift_curves(true, imagined, decoded, last), **groups}

    # --------------------------------------------------------------------------------------- branches

    def _branches(self) -> dict[str, Any]:
        workload = self.workload
        if workload.no_branches:
            return {"left_out": workload.no_branches}
        imagined, reconstructed = [], []
        for clip, point in workload.points.items():
            tokens = [self.store[job_key("branch", clip, self.window, name)] for name in BRANCHES]
            imagined.append(np.stack([workload.frames.decode(branch) for branch in tokens]))
            again = [workload.frames.decode(workload.frames.encode(branch)) for branch in point.branches]
            reconstructed.append(np.stack(again))
            if len(self.pictures.branches) < workload.config.strips // 2:
                ends = {"true": point.branches[:, -1], "imagined": imagined[-1][:, -1]}
                self.pictures.branches[clip.label] = ends
        return control.judge(list(workload.points.values()), imagined, reconstructed)
