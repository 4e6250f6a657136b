"""Sampling: several attempts at one good answer, by rejection, repair, votes, fallbacks and hedges, under budgets."""

from __future__ import annotations

from ...values.public_names import publish
from .best_of_n import BestOfN
from .budget_forcing import BudgetForcing
from .fallback import Escalate, Fallback
from .hedge import Hedge
from .rejection import RejectionSampling
from .repair import ModelFriendlyRepair, MultiTurnRepair, RepairSampling
from .result import SamplingResult
from .sample import Sample
from .strategy import Strategy
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

publish(globals(), "mellite.sampling")
