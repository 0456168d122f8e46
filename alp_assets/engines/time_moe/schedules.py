"""How each size is trained, where the parameters say nothing else."""

from __future__ import annotations

from alp_assets.engines.time_moe.config import Size
from alp_assets.engines.time_moe.training import Schedule

SCHEDULES: dict[Size, Schedule] = {
    "tiny": Schedule(steps=100, accumulation=1, learning_rate=3e-3, warm_up=10, balance_warm_up=30),
    "small": Schedule(steps=200, accumulation=1, learning_rate=2e-3, warm_up=20, balance_warm_up=100),
    "base": Schedule(steps=20_000),
    "published": Schedule(steps=20_000),
}
