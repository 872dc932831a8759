"""Where traces come from: heavy-tailed durations, Poisson and bursty arrivals, and two published workloads.

Each function is deterministic by its dice. Sources:

- Runtimes, sizes and their correlation in `lublin`: U. Lublin, D. G. Feitelson, "The workload on parallel supercomputers:
  modeling the characteristics of rigid jobs", J. Parallel Distrib. Comput. 63(11), 2003, 1105-1122, with the parameters
  of all jobs taken together, as in the authors' program `lublin99.c` of the Parallel Workloads Archive.
- Hosts in `google_hosts`: C. Reiss, A. Tumanov, G. Ganger, R. Katz, M. Kozuch, "Heterogeneity and dynamicity of clouds
  at scale: Google trace analysis", SoCC 2012, table 1: machine configurations, CPU and memory relative to the largest.
"""

from math import exp, log
from random import Random

from .trace import GB, Host, Job


def lognormal(dice: Random, count: int, median: float, sigma: float) -> tuple[float, ...]:
    """Durations whose logarithm is normal; at least 10 ms."""
    return tuple(max(0.01, dice.lognormvariate(log(median), sigma)) for _ in range(count))


def pareto(dice: Random, count: int, least: float, alpha: float, most: float) -> tuple[float, ...]:
    """Durations with the tail of a power, cut at `most`."""
    return tuple(min(most, least * dice.paretovariate(alpha)) for _ in range(count))


def poisson(dice: Random, count: int, every: float) -> list[float]:
    """Instants of `count` arrivals, one `every` seconds on average, each independent of the last."""
    at, found = 0.0, []
    for _ in range(count):
        at += dice.expovariate(1 / every)
        found.append(at)
    return found


def bursts(dice: Random, count: int, every: float, together: int) -> list[float]:
    """Arrivals that come about `together` at a time: a Poisson process of bursts of geometric length."""
    at, found = 0.0, []
    while len(found) < count:
        at += dice.expovariate(1 / (every * together))
        moment = at
        while len(found) < count:
            found.append(moment)
            moment += dice.expovariate(20 / every)
            if dice.random() < 1 / together:
                break
    return sorted(found)


def hosts(number: int, cpus: int, gigabytes: int, *, name: str = "w", slots: int = 0) -> tuple[Host, ...]:
    """Equal hosts without GPUs."""
    return tuple(Host(f"{name}{k:03}", cpus, gigabytes * GB, slots=slots) for k in range(number))


#: Machines of the Google cluster by (CPU, memory) relative to the largest machine, and how many of each.
GOOGLE = (
    (0.50, 0.50, 6732), (0.50, 0.25, 3863), (0.50, 0.75, 1001), (1.00, 1.00, 795), (0.25, 0.25, 126), (0.50, 0.12, 52),
    (0.50, 0.03, 5), (0.50, 0.97, 5), (1.00, 0.50, 3), (0.50, 0.06, 1),
)  # fmt: skip


def google_hosts(dice: Random, number: int) -> tuple[Host, ...]:
    """A sample of the machines of table 1, of which the largest is taken to have 32 CPUs and 128 GB."""
    kinds = dice.choices(GOOGLE, [kind[2] for kind in GOOGLE], k=number)
    return tuple(
        Host(f"g{k:03}", round(32 * cpu), max(1, round(128 * mem)) * GB) for k, (cpu, mem, _) in enumerate(kinds)
    )


# --- Lublin and Feitelson's model: all jobs taken together -------------------------------------------------------------

#: Share of serial jobs, of powers of two, and the two-stage uniform distribution of log2 of the number of processors.
SERIAL, POWERS = 0.244, 0.576
LOW, MIDDLE, HIGH, FIRST_STAGE = 0.8, 4.5, 7.0, 0.86
#: Two gamma distributions of the natural logarithm of the runtime; the first has probability SLOPE * processors + BASE.
SHORT, LONG = (4.2, 0.94), (312.0, 0.03)
SLOPE, BASE = -0.0054, 0.78
#: Logarithms of runtimes beyond this are drawn again, as the program does.
LONGEST = 12.0
#: Gamma distribution of the natural logarithm of the seconds between arrivals; values beyond the last are drawn again.
BETWEEN, RAREST = (10.2303 * 1.0225, 0.4871), 13.0


def lublin_processors(dice: Random, most: int) -> int:
    """The number of processors of a job: 1, or 2 to a power that is two-stage uniform, more often than not a whole one."""
    chance = dice.random()
    if chance <= SERIAL:
        return 1
    first = dice.random() <= FIRST_STAGE
    power = dice.uniform(LOW, MIDDLE) if first else dice.uniform(MIDDLE, HIGH)
    if chance <= SERIAL + POWERS:
        power = int(power + 0.5)
    return min(most, int(2**power + 0.5))


def lublin_runtime(dice: Random, processors: int) -> float:
    """Seconds a job of so many processors runs: the exponential of a hyper-gamma variable; larger jobs run longer."""
    probability = min(1.0, max(0.0, SLOPE * processors + BASE))
    return exp(_cut(dice, SHORT if dice.random() <= probability else LONG, LONGEST))


def _cut(dice: Random, gamma: tuple[float, float], most: float) -> float:
    while (found := dice.gammavariate(*gamma)) > most:
        pass
    return found


def lublin(dice: Random, count: int, most: int, faster: float) -> tuple[Job, ...]:
    """Jobs of the model at its busy hours (the cycle of the day is left out), arriving `faster` times as fast.

    A job of n processors is a task that asks for n CPUs of one host; `most`: processors of the largest job.
    """
    at, jobs = 0.0, []
    for k in range(count):
        at += exp(_cut(dice, BETWEEN, RAREST)) / faster
        processors = lublin_processors(dice, most)
        jobs.append(Job(at, (lublin_runtime(dice, processors),), processors, GB, user=f"u{k % 5}", batch=f"b{k % 5}"))
    return tuple(jobs)
