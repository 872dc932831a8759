"""What can go wrong between nodes, drawn anew for each seed: some seeds know only one kind of trouble, some know all.

Rates are chances per message, or seconds. What must not enter: what nodes do about it.
"""

import random


class Weather:
    """`storm` until it is cleared; then every message arrives once, soon, and in order."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.storm = True
        self.lag = dice.choice([0.0005, 0.005, 0.05, 0.3])
        self.lose_before = self._some(0.05)
        self.lose_reply = self._some(0.05)
        self.drop_hint = self._some(0.3)
        self.double_hint = self._some(0.2)
        self.slow_hint = self._some(0.1)
        self.gale = self._some(0.02)
        self.crash_every = dice.choice([0, 60, 250, 1000])
        self.skew = dice.choice([0.0, 0.0, 3.0, 4000.0])
        self.failures = self._some(0.25)

    def _some(self, most: float) -> float:
        return self.dice.choice([0.0, most / 4, most])

    def chance(self, rate: float) -> bool:
        """Whether it happens this time."""
        return self.storm and rate > 0 and self.dice.random() < rate

    def delay(self) -> float:
        """Seconds a message is under way."""
        if not self.storm:
            return 0.001
        if self.gale and self.dice.random() < self.gale:
            return self.dice.uniform(0.5, 20)
        return self.dice.random() * self.lag

    def hint_delay(self) -> float:
        """Seconds a hint is under way: seldom so long that it means nothing any more."""
        return self.dice.uniform(1, 30) if self.chance(self.slow_hint) else self.delay()


class NodeClock:
    """A node's two clocks: the wall clock is off by a constant and set now and then, the steady one is only slow or fast."""

    def __init__(self, time, weather: Weather, epoch: float) -> None:
        self._time, self._epoch, self._weather = time, epoch, weather
        self._off = weather.dice.uniform(-weather.skew, weather.skew)
        self._rate = 1 + weather.dice.uniform(-1e-3, 1e-3)
        self._since = weather.dice.uniform(0, 1e5)

    def now(self) -> float:
        weather = self._weather
        if weather.skew and weather.chance(0.002):
            self._off = weather.dice.uniform(-weather.skew, weather.skew)
        return self._epoch + self._time() + (self._off if weather.storm else 0.0)

    def steady(self) -> float:
        return self._since + self._time() * self._rate
