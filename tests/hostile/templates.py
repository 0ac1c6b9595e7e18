"""What a template can try: to reach Python, or to run or grow without end."""

from __future__ import annotations

from tests.hostile.case import Case, over

_UNSAFE = "access to attribute"
_TOO_MUCH = "does too much"
_JOIN = "joining texts would make more than 1048576 characters"
_NESTED = "nests loops, conditions or brackets too deeply"
_RECURSION = "an expression fails with RecursionError"
_COLLECTION = "a list or mapping comes to more than 1048576 characters"
_LONGER = (
    "{% macro m(x, n) %}{% if n %}{{ m(STEP, n - 1) }}{% else %}{{ x }}{% endif %}{% endmacro %}{{ m(START, 60) }}"
)


def _refused(name: str, text: str, message: str) -> Case:
    return Case(name, "Invalid", message, over(x=text.encode()))


def _growing(start: str, step: str) -> str:
    return _LONGER.replace("START", start).replace("STEP", step)


def _nested(statement: str, times: int) -> str:
    return f"{{% {statement} %}}" * times + "x" + f"{{% end{statement.split()[0]} %}}" * times


TEMPLATES = (
    _refused("`''.__class__.__mro__`", "{{ ''.__class__.__mro__[1].__subclasses__() }}", _UNSAFE),
    _refused("`''['__class__']`", "{{ ''['__class__'] }}", _UNSAFE),
    _refused("`cycler.__init__.__globals__`", "{{ cycler.__init__.__globals__.os.popen('id').read() }}", _UNSAFE),
    _refused("`joiner.__init__`", "{{ joiner.__init__.__globals__ }}", _UNSAFE),
    _refused("`namespace.__init__`", "{{ namespace.__init__.__globals__ }}", _UNSAFE),
    _refused("`lipsum.__globals__`", "{{ lipsum.__globals__.os.popen('id') }}", "`lipsum` is not defined"),
    _refused("`request.application`", "{{ request.application.__globals__ }}", "`request` is not defined"),
    _refused("`config`", "{{ config.items() }}", "`config` is not defined"),
    _refused("`self.__init__`", "{{ self.__init__.__globals__ }}", _UNSAFE),
    _refused("`self._TemplateReference__context`", "{{ self._TemplateReference__context }}", _UNSAFE),
    _refused("a macro's function", "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}", _UNSAFE),
    _refused("a loop's insides", "{% for x in [1] %}{{ loop._iterator }}{% endfor %}", _UNSAFE),
    _refused("a function of its mapping", "{{ values.get.__self__ }}", _UNSAFE),
    _refused("the filter `attr`", "{{ '' | attr('__class__') }}", "No filter named 'attr'"),
    _refused("`map(attribute=…)`", "{{ [''] | map(attribute='__class__') | list }}", _UNSAFE),
    _refused("`sort(attribute=…)`", "{{ ['', ''] | sort(attribute='__class__.__mro__') }}", _UNSAFE),
    _refused("a format string", "{{ '{0.__class__}'.format(1) }}", _UNSAFE),
    _refused(
        "a format string through `map`", "{{ ['{0.__class__}'] | map('format', 1) | list }}", "No filter named 'format'"
    ),
    _refused("a format string of a mapping", "{{ '{a.__class__}'.format_map({'a': 1}) }}", _UNSAFE),
    _refused("a format string by `%`", "{{ '%1000000000d' % 1 }}", "`%` on text is not supported"),
    _refused("a change of a value", "{{ values.update({'a': 1}) }}", _UNSAFE),
    _refused("another file", "{% include '/etc/passwd' %}", "`include` is not supported"),
    _refused("a macro of another file", "{% import 'deployment.yaml' as x %}", "`import` is not supported"),
    _refused("a base of another file", "{% extends 'deployment.yaml' %}", "`extends` is not supported"),
    _refused("an address in memory", "{{ [1] | map('string') }}", "has no text of its own"),
    _refused("a type as YAML", "{{ cycler | toyaml }}", "has no text of its own"),
    _refused("`range(10**9)`", "{{ range(10**9) | list }}", "`range` gives more than 10000 numbers"),
    _refused(
        "many `range`s",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "`range` gives more",
    ),
    _refused(
        "loops over texts",
        "{% for a in 'x' * 1000000 %}{% for b in 'x' * 1000000 %}{% endfor %}{% endfor %}",
        _TOO_MUCH,
    ),
    _refused(
        "a loop of much that says nothing", "{% for i in range(9999) %}" + "{{ '' }}" * 5000 + "{% endfor %}", _TOO_MUCH
    ),
    _refused(
        "a loop that compares",
        "{% set l = ['x' * 99999] %}{% for i in range(9999) %}{{ l == l }}{% endfor %}",
        _TOO_MUCH,
    ),
    _refused(
        "a loop that slices",
        "{% set l = 'x' * 999999 %}{% for i in range(9999) %}{% set y = l[1:] %}{% endfor %}",
        _TOO_MUCH,
    ),
    _refused("a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", _RECURSION),
    _refused(
        "a macro that calls itself twice",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
        _TOO_MUCH,
    ),
    _refused("a loop that calls itself", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", _RECURSION),
    _refused("a block that calls itself", "{% block a %}{{ self.a() }}{% endblock %}", _RECURSION),
    _refused("a text that doubles by `~`", _growing("'ab'", "x ~ x"), "`~` would make more"),
    _refused("a text that doubles by `+`", _growing("'ab'", "x + x"), "`+` would make more"),
    _refused("a text that doubles by `join`", _growing("'ab'", "[x, x] | join"), _JOIN),
    _refused("a text times a number", "{{ 10**9 * 'a' }}", "`*` would make more"),
    _refused("a long separator", "{{ range(10000) | join('x' * 100000) }}", _JOIN),
    _refused("a long separator's method", "{{ ('x' * 100000).join(range(10000) | map('string')) }}", _JOIN),
    _refused("`replace`", "{{ ('x' * 999999) | replace('x', 'y' * 1000) }}", "`replace` would make more"),
    _refused("`replace` as a method", "{{ ('x' * 999999).replace('x', 'y' * 1000) }}", "`replace` would make more"),
    _refused("`center`", "{{ 'a'.center(10**9) }}", _UNSAFE),
    _refused("`translate`", "{{ 'aaa'.translate({97: 'x' * 999999}) }}", _UNSAFE),
    _refused("bytes", "{{ 'a'.encode() * 10**10 }}", _UNSAFE),
    _refused("bytes of a number", "{{ (1).to_bytes(10**10, 'big') }}", _UNSAFE),
    _refused("`indent` by a lot", "{{ 'x' | indent(10**9) }}", "`indent` takes numbers up to 1000"),
    _refused("`tojson` indented by a lot", "{{ [[1]] | tojson(indent=10**9) }}", "`tojson` takes numbers up to 1000"),
    _refused("`round` to many places", "{{ 1 | round(10**8, 'ceil') }}", "`round` takes numbers up to 100"),
    _refused("`batch` of many", "{{ [1] | batch(10**9, 'x') | list }}", "No filter named 'batch'"),
    _refused("`slice` into many", "{{ [1] | slice(10**9) | list }}", "No filter named 'slice'"),
    _refused("`sum` of lists", "{{ [[1] * 9999, [1] * 9999] | sum(start=[]) }}", "`sum` takes numbers only"),
    _refused("a number that is squared", _growing("3", "x * x"), "a number has more than 4096 bits"),
    _refused("a power", "{{ 99999 ** 999 }}", "`**` takes numbers up to 1000"),
    _refused(
        "a number of a million digits", "{{ ('1' * 999999) | int(base=2) * 1 }}", "a number has more than 4096 bits"
    ),
    _refused("a list that holds another twice", _growing("[1]", "[x, x]"), _COLLECTION),
    _refused("a mapping that holds another twice", _growing("{}", "dict(a=x, b=x)"), _COLLECTION),
    _refused("a tuple that holds another twice", _growing("1", "(x, x)"), _COLLECTION),
    _refused(
        "a block of text, repeated",
        "{% set y %}{% for i in range(9999) %}" + "x" * 500_000 + "{% endfor %}{% endset %}",
        _JOIN,
    ),
    _refused(
        "a filtered block, repeated",
        "{% filter upper %}{% for i in range(9999) %}" + "x" * 500_000 + "{% endfor %}{% endfilter %}",
        _JOIN,
    ),
    _refused(
        "a value, printed often",
        "{% set b = 'x' * 999999 %}{% for i in range(9999) %}{{ b }}{% endfor %}",
        "renders to more than 1024 KiB",
    ),
    _refused(
        "YAML, made often",
        "{% set v = 'x' * 99999 %}{% for i in range(9999) %}{% set y = v | toyaml %}{% endfor %}",
        _TOO_MUCH,
    ),
    _refused("5,000 brackets", "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", _RECURSION),
    _refused("500 signs", "{{ " + "-" * 500 + "1 }}", _RECURSION),
    _refused("25 loops in one another", _nested("for a in [1]", 25), _NESTED),
    _refused("120 conditions in one another", _nested("if 1", 120), _NESTED),
    _refused("200,000 expressions", "{{a}}" * 200_000, "words and signs"),
    _refused("8,000 lines of expressions", "{{ 1 }}\n" * 8000 + "{{ nope }}", "x.yaml:8001: `nope` is not defined"),
    _refused("an error in a long line", "{{ nope }}" + "{ .a" * 200_000, "`nope` is not defined"),
)
