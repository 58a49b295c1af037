"""What the component `sensors` measures, number for number."""

import numpy as np

BASE, SWING, PERIOD = 4.0, 0.5, 20
DOOR_OPEN, DOOR_RISE, COOLING = 6, 1.5, 0.7


def temperatures(seed, room, samples, door_every=0, drift=0.0, drift_from=0):
    """Degrees, one a sample. `drift` is what a failing sensor adds with each sample from `drift_from` on."""
    sample = np.arange(samples)
    swing = SWING * np.sin((sample % PERIOD / PERIOD + room * 0.25) * 2 * np.pi)
    chance = mixed(np.uint64(seed) ^ mixed(np.uint64(room)) ^ mixed(sample.astype(np.uint64)))
    noise = ((chance >> np.uint64(11)) / 2.0**53 - 0.5) * 0.2
    failing = np.maximum(0, sample - drift_from) * drift
    degrees = BASE + swing + noise + warmth(room, samples, door_every) + failing
    # Half a hundredth goes up, as it does in the component; numpy's own rounding goes to the even one.
    return np.floor(degrees * 100 + 0.5) / 100


def warmth(room, samples, door_every):
    """What open doors have added and cooling has left."""
    course, warm = np.zeros(samples), 0.0
    if room == 0 and door_every:
        for sample in range(samples):
            since = (sample + door_every - door_every // 2) % door_every
            is_open = sample >= door_every // 2 and since < DOOR_OPEN
            warm = warm + DOOR_RISE if is_open else warm * COOLING
            course[sample] = warm
    return course


def mixed(number):
    """The finaliser of SplitMix64."""
    with np.errstate(over="ignore"):
        number = number + np.uint64(0x9E3779B97F4A7C15)
        number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


def check():
    """The numbers that a test of the component expects of it."""
    assert list(temperatures(seed=7, room=0, samples=3, door_every=24)) == [3.98, 4.13, 4.3]
