"""How engine C trains: episodes, and Reptile's outer loop around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alp_assets.audio.decode import FloatArray
from alp_assets.engines.base import Strings
from alp_assets.engines.episodic.conv_encoder import CROP, POOL, embed, trainable
from alp_assets.engines.episodic.episodes import Task, draw_episode
from alp_assets.engines.episodic.trunk import STRIDE
from alp_assets.params import MetaPrototypeParams

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

_INNER_STEPS = 5
"""Episodes of one task between two steps of Reptile, and those that adapt to the target domain."""

_MOST_GRADIENT = 5.0


class School:
    """Trains ``weights`` in place, on clips (n, 2, bands, time) of the recordings (n,).

    ``grids`` (n, channels, bands, time / 4) are what the trunk found in the clips, where there is one.
    """

    def __init__(
        self,
        params: MetaPrototypeParams,
        clips: FloatArray,
        grids: FloatArray | None,
        recordings: Strings,
        weights: dict[str, Tensor],
    ) -> None:
        import torch

        self._params = params
        self._clips = torch.from_numpy(clips)
        self._grids = None if grids is None else torch.from_numpy(grids)
        self._recordings = recordings
        self._weights = weights
        self._rng = np.random.default_rng(params.seed)
        self._trained = trainable(weights)
        for value in self._trained:
            value.requires_grad_(True)
        # Reptile's inner loops do without momentum, which would carry one task's direction into the next.
        betas = (0.0, 0.999) if params.reptile else (0.9, 0.999)
        self._optimizer: Optimizer = torch.optim.Adam(self._trained, lr=params.learning_rate, betas=betas)

    def pick(self, tasks: list[list[Task]]) -> Task:
        """Any column, then any of its tasks, so that columns count alike however many sections say them."""
        column = tasks[self._rng.integers(len(tasks))]
        return column[self._rng.integers(len(column))]

    def learn(self, task: Task, k_shot: int) -> None:
        """One step on one episode: queries are told apart by their squared distances to the prototypes."""
        import torch
        from torch.nn.functional import cross_entropy

        episode = draw_episode(self._rng, task, self._recordings, self._params.n_way, k_shot)
        ways = len(episode.support)
        found = embed(self._weights, *self._crops(np.concatenate([episode.support.ravel(), episode.queries])))
        prototypes = found[: ways * k_shot].view(ways, k_shot, -1).mean(dim=1)
        queries = found[ways * k_shot :]
        squares = ((queries[:, None] - prototypes[None]) ** 2).sum(dim=2) / found.shape[1] ** 0.5
        loss = cross_entropy(-squares, torch.from_numpy(episode.labels))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._trained, _MOST_GRADIENT)
        self._optimizer.step()

    def reptile(self, tasks: list[list[Task]], k_shot: int) -> None:
        """As many episodes, in inner loops of one task each; the weights follow each by a falling share."""
        import torch

        rounds = max(1, self._params.episodes // _INNER_STEPS)
        for done in range(rounds):
            before = {name: value.detach().clone() for name, value in self._weights.items()}
            task = self.pick(tasks)
            for _ in range(_INNER_STEPS):
                self.learn(task, k_shot)
            with torch.no_grad():
                for name, value in self._weights.items():
                    value.copy_(before[name].lerp_(value, 1 - done / rounds))

    def adapt(self, tasks: list[tuple[Task, int]]) -> None:
        """A few steps on the target domain's own tasks, given with their shots."""
        for i in range(_INNER_STEPS * bool(tasks)):
            self.learn(*tasks[i % len(tasks)])

    def _crops(self, rows: npt.NDArray[np.intp]) -> tuple[Tensor, Tensor | None]:
        length = min(CROP, self._clips.shape[3])
        starts = self._rng.integers(self._clips.shape[3] - length + 1, size=len(rows))
        clips = _cut(self._clips, rows, starts, length)
        if self._grids is None:
            return clips, None
        coarse = STRIDE // POOL
        length = min(CROP // coarse, self._grids.shape[3])
        last = self._grids.shape[3] - length
        return clips, _cut(self._grids, rows, np.minimum(starts // coarse, last), length)


def _cut(values: Tensor, rows: npt.NDArray[np.intp], starts: npt.NDArray[np.intp], length: int) -> Tensor:
    import torch

    pairs = zip(rows.tolist(), starts.tolist(), strict=True)
    return torch.stack([values[row, :, :, start : start + length] for row, start in pairs])
