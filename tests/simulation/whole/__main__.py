"""`python -m tests.simulation.whole SEED…|FROM-TO [--verbose|--digest]`: run these seeds; the first that fails ends it.

`--verbose` tells what happens when, `--digest` the digest of each seed's log.
"""

import gc
import hashlib
import sys
import time
import traceback

from .world import World


def seeds(arguments: list[str]):
    """All numbers that are named."""
    for argument in arguments:
        first, _, last = argument.partition("-")
        yield from range(int(first), int(last or first) + 1)


def main(arguments: list[str]) -> int:
    """0 if all seeds passed, 1 with the command that replays the first that did not."""
    verbose = "--verbose" in arguments
    count, began, events, steps = 0, time.perf_counter(), 0, 0
    for seed in seeds([a for a in arguments if not a.startswith("-")]):
        world = World(seed, verbose=verbose)
        try:
            world.run()
        except BaseException:
            traceback.print_exc()
            print(
                f"seed {seed} failed; again: PYTHONHASHSEED=0 python -m tests.simulation.whole {seed} --verbose",
                flush=True,
            )
            return 1
        if "--digest" in arguments:
            log = hashlib.sha256(repr([(r.at, r.subject, r.body) for r in world.hub.records]).encode())
            print(seed, log.hexdigest())
        count, events, steps = count + 1, events + len(world.hub.records), steps + world.loop.steps
        gc.unfreeze()  # a dispatcher that restores freezes what there is: here that is a world that has ended,
        if not count % 50:  # and garbage is looked for seldom
            gc.collect()
    took = time.perf_counter() - began
    print(f"{count} seeds, {events} events, {steps} awaits in {took:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
