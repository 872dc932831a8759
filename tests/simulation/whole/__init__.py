"""The whole system in one process and in virtual time: dispatchers, agents, projector, users, and all the weather.

The services and cores are the real ones; log, hosts and time are not. One seed is one history, to the last await. What
must not enter: the machine's clock, its network, chance that is not of the seed.
"""
