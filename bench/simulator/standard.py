"""The standard set: what the bench runs and the documentation quotes. Deterministic by its seed."""

from collections.abc import Iterator
from random import Random

from . import workloads as w
from .trace import GB, Host, Job, Trace


def standard(seed: int = 1, scale: float = 1.0) -> Iterator[Trace]:
    """Every trace of the set; `scale` of the number of jobs."""
    for make in (equal, pareto, bursty, mixed, large, failing, lublin, google, weighted):
        yield make(Random(f"{make.__name__} {seed}"), scale)


def equal(dice: Random, scale: float) -> Trace:
    """One array of lognormal tasks that ask for a slot, on equal hosts."""
    return Trace(
        "lognormal array", (Job(0, w.lognormal(dice, int(6000 * scale), 20, 0.8)),), w.hosts(5, 16, 64, slots=16)
    )


def pareto(dice: Random, scale: float) -> Trace:
    """A heavy tail, and arrivals a little faster than they can be served."""
    number = int(3000 * scale)
    times = w.pareto(dice, number, 10, 1.5, 1200)
    jobs = tuple(Job(at, (s,), 1, GB) for at, s in zip(w.poisson(dice, number, 0.3), times, strict=True))
    return Trace("Pareto, Poisson", jobs, w.hosts(5, 16, 64))


def bursty(dice: Random, scale: float) -> Trace:
    """Arrays of 1 to 60 tasks that come in bursts, from five users, for one or two CPUs."""
    jobs = tuple(
        Job(
            at,
            w.lognormal(dice, dice.randint(1, 60), 20, 1.0),
            dice.choice((1, 1, 2)),
            2 * GB,
            user=f"u{k % 5}",
            batch=f"b{k % 8}",
        )
        for k, at in enumerate(w.bursts(dice, int(120 * scale), 8, 6))
    )
    return Trace("bursts of arrays", jobs, w.hosts(8, 16, 64))


def _mixed_job(dice: Random, at: float, user: str) -> Job:
    kind = dice.random()
    if kind < 0.6:
        return Job(at, w.lognormal(dice, dice.randint(1, 30), 25, 0.7), 1, 2 * GB, user=user, batch=user)
    if kind < 0.8:
        return Job(at, w.lognormal(dice, dice.randint(1, 8), 60, 0.5), 8, 16 * GB, user=user, batch=user)
    if kind < 0.9:
        return Job(at, w.lognormal(dice, dice.randint(1, 5), 50, 0.5), 2, 96 * GB, user=user, batch=user)
    return Job(at, w.lognormal(dice, dice.randint(1, 5), 60, 0.5), 4, 16 * GB, 1, user=user, batch=user)


def mixed(dice: Random, scale: float) -> Trace:
    """Small, wide, roomy and GPU tasks of five users on small, large, roomy and GPU hosts."""
    hosts = (
        *w.hosts(6, 8, 32, name="s"),
        *w.hosts(4, 32, 128, name="l"),
        *w.hosts(1, 16, 512, name="m"),
        Host("g000", 16, 64 * GB, 4),
        Host("g001", 16, 64 * GB, 4),
    )
    arrivals = w.poisson(dice, int(1200 * scale), 2.5)
    return Trace("mixed requests", tuple(_mixed_job(dice, at, f"u{k % 5}") for k, at in enumerate(arrivals)), hosts)


def large(dice: Random, scale: float) -> Trace:
    """Tasks that take a whole host, in a stream of small ones that would always fill it."""
    small = [Job(at, w.lognormal(dice, 8, 30, 0.7), 1, GB, user="many") for at in w.poisson(dice, int(500 * scale), 4)]
    wide = [
        Job(at, w.lognormal(dice, 1, 60, 0.5), 16, 32 * GB, user="few") for at in w.poisson(dice, int(80 * scale), 24)
    ]
    return Trace("whole hosts among small", tuple(sorted([*small, *wide])), w.hosts(6, 16, 64))


def failing(dice: Random, scale: float) -> Trace:
    """The mixed requests on hosts of which every third fails now and then, for one to five minutes."""
    base = mixed(dice, scale)
    hosts = tuple(_failing(dice, host) if k % 3 == 1 else host for k, host in enumerate(base.hosts))
    return Trace("hosts that fail", base.jobs, hosts)


def _failing(dice: Random, host: Host) -> Host:
    spans, at = [], 0.0
    for _ in range(50):
        end = at + 300 + dice.expovariate(1 / 1500)
        spans.append((at, end))
        at = end + 60 + dice.random() * 240
    return host._replace(spans=(*spans, (at, float("inf"))))


def lublin(dice: Random, scale: float) -> Trace:
    """Lublin and Feitelson's model of supercomputers, on four hosts of 128 CPUs."""
    return Trace("Lublin-Feitelson 2003", w.lublin(dice, int(3000 * scale), 128, 5), w.hosts(4, 128, 512))


def google(dice: Random, scale: float) -> Trace:
    """The machines of Google's 2011 trace, with arrays of small tasks whose times have a heavy tail."""
    jobs = []
    for k, at in enumerate(w.poisson(dice, int(300 * scale), 1.5)):
        times = w.pareto(dice, dice.randint(1, 40), 15, 1.5, 180)
        cpus, memory = dice.choice((0.5, 0.5, 1, 2, 4)), dice.choice((1, 1, 2, 4, 8)) * GB
        priority = dice.choice((0, 0, 0, 1))
        jobs.append(Job(at, times, cpus, memory, user=f"u{k % 7}", batch=f"b{k % 7}", priority=priority))
    return Trace("Google 2011 machines", tuple(jobs), w.google_hosts(dice, 12))


def weighted(dice: Random, scale: float) -> Trace:
    """Four users with weights 1, 1, 2 and 4, the last of whom comes late; all have more than can be served."""
    jobs = tuple(
        Job(at, w.lognormal(dice, int(count * scale), 20, 0.8), 1, GB, user=user, batch=user)
        for at, count, user in ((0, 2000, "ada"), (1, 2000, "ben"), (2, 2000, "cy"), (200, 2000, "dot"))
    )
    return Trace("shares 1:1:2:4", jobs, w.hosts(5, 16, 64), {"ada": 1, "ben": 1, "cy": 2, "dot": 4})
