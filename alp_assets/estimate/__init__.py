"""What a planned delivery comes to: clips, hours, storage, the engines that it opens, and time to work on it."""

from alp_assets.estimate.base import Amount, Estimate, Outlook
from alp_assets.estimate.signals import SignalPlan, estimate_signals
from alp_assets.estimate.sound import Plan, estimate

__all__ = ["Amount", "Estimate", "Outlook", "Plan", "SignalPlan", "estimate", "estimate_signals"]
