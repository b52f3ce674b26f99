"""Compile where a plan runs: devices, number of workers, threads."""

from __future__ import annotations

from autolabel.errors import SpecError
from autolabel.plan import devices
from autolabel.plan.model import Cluster, Execution, SpendingLimit
from autolabel.spec.model import Spec
from autolabel.urls import is_url


def compile_execution(spec: Spec) -> Execution:
    """Compile where the plan runs; ``with_cpu_workers`` adds workers once the rows are known."""
    run, cluster = spec.run, None
    if run.executor == "ray":
        cluster = _asked_of_ray(spec)
        workers: tuple[str, ...] = ()
        threads = run.threads or max(1, int(cluster.num_cpus))
    else:
        workers = tuple(
            name for name in devices.resolve_devices(spec.devices) for _ in range(run.workers_per_device or 1)
        )
        threads = devices.threads_per_worker(workers, run.threads)
    executor = run.executor
    if executor == "auto":
        executor = "inline" if len(workers) == 1 else "processes"
    return Execution(
        executor=executor,
        workers=workers,
        cluster=cluster,
        threads=threads,
        num_workers=run.num_workers,
        max_failures=run.max_failures,
        candidates=run.candidates,
        answers=run.answers,
        budget=_spending_limit(spec),
    )


def _spending_limit(spec: Spec) -> SpendingLimit | None:
    """Return the spending limit for endpoints; refuse one that cannot be enforced."""
    budget = spec.run.budget
    if budget is None:
        return None
    if is_url(spec.results_dir):
        said = "a budget is counted in results_dir, which has to be a folder of this machine for that"
        raise SpecError(spec.problem(("run", "budget"), said))
    return SpendingLimit(requests=budget.requests, tokens=budget.tokens)


def _asked_of_ray(spec: Spec) -> Cluster:
    """Compile the resources of each worker on a Ray cluster, where only the number of GPUs matters."""
    asked, ray = spec.devices, spec.run.ray
    share = spec.run.workers_per_device or 1
    if asked == "mps" or (asked == "cpu" and ray.num_gpus):
        found = "mps" if asked == "mps" else "cpu, and run.ray.num_gpus asks for GPUs"
        raise SpecError(spec.problem(("devices",), f"found {found}; on a Ray cluster wanted auto, cpu or GPU numbers"))
    workers = None if isinstance(asked, str) else len(asked) * share
    return Cluster(
        address=ray.address,
        workers=ray.workers or workers,
        num_cpus=float(spec.run.threads or 1) if ray.num_cpus is None else ray.num_cpus,
        num_gpus=0.0 if asked == "cpu" else 1 / share if ray.num_gpus is None else ray.num_gpus,
        fall_back=asked == "auto" and ray.num_gpus is None,
    )
