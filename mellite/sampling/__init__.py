"""Sampling: several tries for one good answer, by rejection, repair, votes, fallbacks and hedges, under budgets."""

from __future__ import annotations

from .bestof import BestOfN
from .chain import Escalate, Fallback
from .hedge import Hedge
from .rejection import RejectionSampling
from .repair import ModelFriendlyRepair, MultiTurnRepair, RepairSampling
from .result import SamplingResult
from .sample import Sample
from .strategy import Strategy
from .thinking import BudgetForcing
from .voting import MajorityVote, MinimumBayesRisk

__all__ = [
    "BestOfN",
    "BudgetForcing",
    "Escalate",
    "Fallback",
    "Hedge",
    "MajorityVote",
    "MinimumBayesRisk",
    "ModelFriendlyRepair",
    "MultiTurnRepair",
    "RejectionSampling",
    "RepairSampling",
    "Sample",
    "SamplingResult",
    "Strategy",
]
