"""The execution plan: what a validated spec is compiled into."""

from autolabel.plan.model import Plan, Shard, Stage

__all__ = ["Plan", "Shard", "Stage"]
