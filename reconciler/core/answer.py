"""Whether HTTP answers are what a check asks for. Pure; what is in an answer is never trusted.

Of one answer: `unmet` and `met`. Of several from one target: `judged`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeGuard

from reconciler.core.check import Measurement, Outcome
from reconciler.core.jsonpath import values_at
from reconciler.core.pattern import is_found
from reconciler.core.probe import Conditions, HttpProbe, Operator, Test

BODY_LIMIT = 1 << 20
"""Bytes of a body that are read."""
SHOWN = 200
"""Characters of a body or value that are shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: `headers` by their names in lower case, the body's beginning (`complete`: all of it), and after how
    many `seconds` it was there."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer, and why. `reached`: the other side was there, so that this is its failure."""

    reason: str
    reached: bool


class _NotJson(Exception):
    """The body is no JSON."""


def unmet(conditions: Conditions, answer: Answer) -> str:
    """The first of `conditions` that the answer does not meet, in words; '' if it meets all."""
    return next(_results(conditions, answer, wanted=False), "")


def met(conditions: Conditions, answer: Answer) -> str:
    """The first of `conditions` that the answer meets, in words; '' if it meets none."""
    return next(_results(conditions, answer, wanted=True), "")


def _results(conditions: Conditions, answer: Answer, *, wanted: bool) -> Iterator[str]:
    """Words for each condition that is met (`wanted`), or that is not."""
    if conditions.statuses and any(low <= answer.status <= high for low, high in conditions.statuses) is wanted:
        yield f"the status is {answer.status}" + ("" if wanted else f", not {_ranges(conditions)}{_hint(answer)}")
    for header in conditions.headers:
        found = answer.headers.get(header.name.lower())
        if _holds(header.test, [] if found is None else [found]) is wanted:
            yield f"the header {header.name} {_words(header.test, [] if found is None else [found], wanted)}"
    if not conditions.reads_body:
        return
    if not answer.complete:
        if not wanted:
            yield f"the body is larger than {BODY_LIMIT >> 20} MiB"
        return
    yield from _of_body(conditions, answer, wanted=wanted)


def _of_body(conditions: Conditions, answer: Answer, *, wanted: bool) -> Iterator[str]:
    text = answer.body.decode("utf-8", errors="replace")
    for test in conditions.body:
        if _holds(test, [text]) is wanted:
            yield f"the body {_words(test, [text], wanted)}"
    if not conditions.json:
        return
    try:
        document = _parsed(answer.body)
    except _NotJson as error:
        if not wanted:
            yield f"the body is no JSON ({error}): {_shown(text)}"
        return
    for each in conditions.json:
        values = values_at(each.path, document)
        if _holds(each.test, values) is wanted:
            yield f"{each.path} {_words(each.test, values, wanted)}"


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body, parse_constant=_refuse)
    except RecursionError:
        raise _NotJson("nested too deeply") from None
    except (ValueError, UnicodeDecodeError):
        raise _NotJson("it cannot be parsed") from None


def _refuse(_text: str) -> NoReturn:
    raise _NotJson("NaN and Infinity are not in JSON")


def _holds(test: Test, values: Sequence[object]) -> bool:
    """Whether there is a value, and the test holds for each."""
    if test.operator is Operator.EXISTS:
        return bool(values) is test.value
    return bool(values) and all(_compare(test, each) for each in values)


def _compare(test: Test, value: object) -> bool:
    wanted = test.value
    match test.operator:
        case Operator.EQUALS:
            return _same(value, wanted)
        case Operator.NOT_EQUALS:
            return not _same(value, wanted)
        case Operator.CONTAINS:
            return _contains(value, wanted)
        case Operator.MATCHES:
            return isinstance(value, str) and is_found(str(wanted), value)
        case Operator.ABOVE:
            return _is_number(value) and _is_number(wanted) and value > wanted
        case Operator.BELOW:
            return _is_number(value) and _is_number(wanted) and value < wanted
    return True


def _same(value: object, wanted: object) -> bool:
    """As JSON compares: 1 is 1.0, but true is not 1."""
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


def _contains(value: object, wanted: object) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    return isinstance(value, list) and any(_same(each, wanted) for each in value)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _words(test: Test, values: Sequence[object], wanted: bool) -> str:
    if test.operator is Operator.EXISTS:
        return "is there" if values else "is not there"
    if not values:
        return "is not there"
    value = next((each for each in values if _compare(test, each) is wanted), values[0])
    verb = {Operator.EQUALS: "equals", Operator.NOT_EQUALS: "differs from", Operator.CONTAINS: "contains"}
    verb |= {Operator.MATCHES: "matches", Operator.ABOVE: "is above", Operator.BELOW: "is below"}
    said = f"{verb[test.operator]} {json.dumps(test.value, ensure_ascii=False)}"
    return f"is {_shown(value)}: it {said}" if wanted else f"is {_shown(value)}: it has to be one that {said}"


def _shown(value: object) -> str:
    """A value as JSON, its end left out if it is long."""
    if isinstance(value, str):
        return json.dumps(value if len(value) <= SHOWN else f"{value[:SHOWN]}…", ensure_ascii=False)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:  # it was parsed, but by less deep a call
        return "nested too deeply to be shown"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _ranges(conditions: Conditions) -> str:
    return " or ".join(str(low) if low == high else f"{low}-{high}" for low, high in conditions.statuses)


def _hint(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return "; redirects are not followed"
    return f"; it says {_shown(body)}" if (body := answer.body[:1000].decode("utf-8", errors="replace").strip()) else ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the answers of one target come to."""

    outcome: Outcome
    measured: str
    reason: str = ""
    final: bool = False


def judged(probe: HttpProbe, answers: Sequence[Answer | Silence], seconds: float) -> Judgement:
    """What came of all `probe.requests` to one target within `seconds`; what is missing found no time."""
    for answer in answers:
        if isinstance(answer, Answer) and probe.failure and (why := met(probe.failure, answer)):
            return Judgement(Outcome.FAILED, _measured(probe, answers), f"failure condition: {why}", final=True)
    silences = [each for each in answers if isinstance(each, Silence)]
    if silences and len(silences) == len(answers) and not any(each.reached for each in silences):
        return Judgement(Outcome.INCONCLUSIVE, "no answer", silences[0].reason)
    faults = [each.reason if isinstance(each, Silence) else unmet(probe.success, each) for each in answers]
    good, measured = faults.count(""), _measured(probe, answers)
    if good * 100 < probe.min_success_percent * probe.requests:
        first = next((each for each in faults if each), f"only {len(answers)} requests fitted into {seconds:g}s")
        share = f"{good} of {probe.requests} requests succeeded; " if probe.requests > 1 else ""
        return Judgement(Outcome.FAILED, measured, share + first)
    if probe.latency and (took := percentile(probe, answers)) >= probe.latency.below:
        limit = f"the {probe.latency.percentile:g}th percentile must be below {duration(probe.latency.below)}"
        return Judgement(Outcome.FAILED, measured, f"{limit}, and is {duration(took)}")
    return Judgement(Outcome.PASSED, measured)


def percentile(probe: HttpProbe, answers: Sequence[Answer | Silence]) -> float:
    """The latency at the probe's percentile by the nearest rank, in seconds; what was not answered took for ever."""
    rank = probe.latency.percentile if probe.latency else 50.0
    times = sorted(each.seconds if isinstance(each, Answer) else math.inf for each in answers)
    times += [math.inf] * (probe.requests - len(times))
    return times[max(math.ceil(rank / 100 * len(times)), 1) - 1]


def _measured(probe: HttpProbe, answers: Sequence[Answer | Silence]) -> str:
    statuses: dict[str, int] = {}
    for each in answers:
        shown = str(each.status) if isinstance(each, Answer) else "no answer"
        statuses[shown] = statuses.get(shown, 0) + 1
    if probe.requests == 1:
        only = next(iter(answers), None)
        return f"{only.status} in {duration(only.seconds)}" if isinstance(only, Answer) else "no answer"
    shown = ", ".join(f"{count} × {status}" for status, count in statuses.items())
    rank = probe.latency.percentile if probe.latency else 50.0
    return f"{shown}; {rank:g}th percentile {duration(percentile(probe, answers))}"


def duration(seconds: float) -> str:
    """As a configuration would say it, to the millisecond."""
    if math.isinf(seconds):
        return "for ever"
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.2f}s"


def combined(judgements: Mapping[str, Judgement]) -> Measurement:
    """The measurement, from what each target came to: the worst of them, with its name. There is one at least."""
    name, worst = min(judgements.items(), key=lambda each: _rank(each[1]))
    several = len(judgements) > 1
    prefix = f"{name}: " if name else ""
    passed = sum(each.outcome is Outcome.PASSED for each in judgements.values())
    measured = f"{prefix}{worst.measured}" + (f" ({passed} of {len(judgements)} pods passed)" if several else "")
    reason = f"{prefix}{worst.reason}" if worst.reason else ""
    return Measurement(worst.outcome, measured, reason, worst.final)


def _rank(judgement: Judgement) -> int:
    if judgement.final:
        return 0
    return {Outcome.FAILED: 1, Outcome.INCONCLUSIVE: 2, Outcome.PASSED: 3}[judgement.outcome]
