"""The owner's hours: what the setting says, at which minute it counts, and what is told of one that cannot be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_agent.core.hours import ALL, Caps, at, parse
from longshore_common.errors import BadInput

GIB = 1 << 30
OFFICE = parse("Mon-Fri 08:00-18:00 cpus=4 memory=16G; Sat,Sun 22:00-06:00 slots=2; cpus=all")


def when(day, clock):
    hour, minute = map(int, clock.split(":"))
    return ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].index(day), hour * 60 + minute


@pytest.mark.parametrize(
    ("day", "clock", "caps"),
    [
        ("Mon", "07:59", ALL),
        ("Mon", "08:00", Caps(cpus=4, memory=16 * GIB)),
        ("Fri", "17:59", Caps(cpus=4, memory=16 * GIB)),
        ("Fri", "18:00", ALL),
        ("Sat", "12:00", ALL),
        ("Sat", "22:00", Caps(slots=2)),
        ("Sun", "05:59", Caps(slots=2)),
        ("Mon", "05:59", Caps(slots=2)),  # Sunday's night
        ("Mon", "06:00", ALL),
        ("Sat", "05:00", ALL),  # Friday's night is nobody's
    ],
)
def test_the_first_rule_that_holds_counts(day, clock, caps):
    assert at(OFFICE, *when(day, clock))[0] == caps


def test_without_rules_everything_is_allowed():
    assert at(parse(""), 3, 700) == (ALL, "")


def test_days_may_go_over_the_weekend_and_zero_forbids():
    rules = parse("fri-mon cpus=0")
    assert [at(rules, day, 0)[0].none for day in range(7)] == [True, False, False, False, True, True, True]


def test_the_day_may_end_at_24():
    assert at(parse("20:00-24:00 cpus=1"), 0, 24 * 60 - 1)[0] == Caps(cpus=1)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Mon-Fri 08:00-18:00", "caps nothing"),
        ("Mo cpus=1", "'Mo'"),
        ("08:00-08:00 cpus=1", "empty"),
        ("25:00-26:00 cpus=1", "25:00"),
        ("08:61-09:00 cpus=1", "08:61"),
        ("cpus=four", "'four'"),
        ("cpus=-1", "-1"),
        ("cpus=nan", "nan"),
        ("memory=much", "memory"),
        ("disks=4", "'disks'"),
    ],
)
def test_a_rule_that_cannot_be_read_is_shown_with_what_is_wrong(text, word):
    with pytest.raises(BadInput, match="LONGSHORE_HOURS") as caught:
        parse(f"cpus=1; {text}")
    assert word in str(caught.value)


@given(st.text(alphabet="Mon-Fri,SatSun 0123456789:;=cpusmemorysltGal.", max_size=40))
def test_any_text_is_rules_or_bad_input(text):
    try:
        rules = parse(text)
    except BadInput:
        return
    for day in range(7):
        for minute in (0, 1, 719, 1439):
            at(rules, day, minute)


@given(st.integers(0, 1439), st.integers(0, 1440), st.integers(0, 6))
def test_a_range_holds_for_exactly_its_length_each_week(begin, end, day):
    if begin == end:
        return
    name = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][day]
    rules = parse(f"{name} {begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02} cpus=1")
    held = sum(rules[0].holds(d, m) for d in range(7) for m in range(1440))
    assert held == (end - begin) % 1440 or (begin, end) == (0, 1440)
