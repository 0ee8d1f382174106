"""The language of criteria: what it reads, what it refuses and at which column, and what a criterion then means."""

from __future__ import annotations

import itertools
import operator
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_recipes import conditions, text_of

from stagectl.curriculum import read_stages
from stagectl.curriculum.evidence import Evidence, Standing
from stagectl.curriculum.language import Condition
from stagectl.curriculum.parser import parse_condition
from stagectl.errors import CurriculumError

READ = [
    # criterion, as the parsed tree writes it
    ("performance >= 0.8", "performance >= 0.8"),
    ("performance>=0.8", "performance >= 0.8"),
    ("  performance\n >=\t0.8  ", "performance >= 0.8"),
    ("steps >= 2M", "steps >= 2M"),
    ("steps > 20k and episodes < 1_000", "steps > 20k and episodes < 1_000"),
    ("total_steps <= 1e6 or total_episodes >= .5k", "total_steps <= 1e6 or total_episodes >= .5k"),
    ("visits < 3", "visits < 3"),
    ("0.8 <= performance", "0.8 <= performance"),
    ("performance > -5", "performance > -5"),
    ("performance > - 5", "performance > -5"),
    ("performance >= mean(score, last=100)", "performance >= mean(score, last=100)"),
    ("mean(success, last=2k) >= 0.8", "mean(score, last=2000) >= 0.8"),
    ("min(performance, last=5) >= 0.1", "min(performance, last=5) >= 0.1"),
    ('max(metric("a b/c"), last=1) < 2', 'max(metric("a b/c"), last=1) < 2'),
    ("std(score, last=10) < 0.1", "std(score, last=10) < 0.1"),
    ("ema(score, 0.05) >= 0.5", "ema(score, 0.05) >= 0.5"),
    ("ema(score, 1) >= 0.5", "ema(score, 1.0) >= 0.5"),
    ("ema(score, 0.123456789) >= 0.5", "ema(score, 0.123456789) >= 0.5"),
    ("lower_bound(success, 0.95) >= 0.8", "lower_bound(score, 0.95) >= 0.8"),
    ("lower_bound(success, 0.95, last=50) >= 0.8", "lower_bound(score, 0.95, last=50) >= 0.8"),
    ("metric('loss') < 0.1", 'metric("loss") < 0.1'),
    ("metric('the \"best\"') > 1", "metric('the \"best\"') > 1"),
    ('metric("or") > 1 or metric(")") > 1', 'metric("or") > 1 or metric(")") > 1'),
    (
        "plateau(performance, over=100k, less_than=0.01)",
        "plateau(performance, over=100000, less_than=0.01)",
    ),
    ("sustained(performance >= 0.8, for=20k)", "sustained(performance >= 0.8, for=20000)"),
    (
        "sustained(not steps > 1 or visits > 2, for=1)",
        "sustained(not (steps > 1) or visits > 2, for=1)",
    ),
    ("not performance > 0.5", "not (performance > 0.5)"),
    ("not not performance > 0.5", "not (not (performance > 0.5))"),
    ("not (steps > 1 and steps < 9)", "not (steps > 1 and steps < 9)"),
    ("steps > 1 or steps > 2 and steps > 3", "steps > 1 or steps > 2 and steps > 3"),
    ("(steps > 1 or steps > 2) and steps > 3", "(steps > 1 or steps > 2) and steps > 3"),
    ("((steps > 1))", "steps > 1"),
    ("steps > 1 and (steps > 2 and steps > 3)", "steps > 1 and steps > 2 and steps > 3"),
]


@pytest.mark.parametrize(("criterion", "tree"), READ, ids=[criterion for criterion, _ in READ])
def test_a_criterion_is_read(criterion: str, tree: str) -> None:
    assert str(parse_condition(criterion)) == tree


@pytest.mark.parametrize("criterion", [criterion for criterion, _ in READ])
def test_what_a_criterion_is_written_as_reads_back_as_the_same(criterion: str) -> None:
    once = str(parse_condition(criterion))
    assert str(parse_condition(once)) == once


REFUSED = [
    # criterion, column from 1, what is said
    ("performance", 12, "expected a comparison (>=, >, <=, <), found the end"),
    ("performance >=", 15, "expected a number or a term, found the end"),
    ("performance == 0.8", 13, "never compared for equality"),
    ("performance = 0.8", 13, "never compared for equality"),
    ("performance != 0.8", 13, "never compared for equality"),
    ("performance => 0.8", 13, "found '=>'; write >="),
    ("performance ≥ 0.8", 13, "found '≥'; write >="),
    ("performance =< 0.8", 13, "found '=<'; write <="),
    ("performance >= 0.8 & steps > 1", 20, "expected 'and', 'or' or the end, found '&'; write and"),
    ("performance >= 0.8 && steps > 1", 20, "found '&&'; write and"),
    ("performance >= 0.8 || steps > 1", 20, "found '||'; write or"),
    ("performance | steps", 13, "write or"),
    ("!performance > 1", 1, "write not"),
    ("performance >= 0.8 performance", 20, "expected 'and', 'or' or the end, found 'performance'"),
    ("0.5 <= performance <= 0.8", 20, "join two of them with 'and'"),
    ("1 < 2", 1, "compares two numbers, which never changes"),
    ("steps > 1 and 1 < 2", 15, "compares two numbers"),
    ("preformance >= 0.8", 1, "unknown term 'preformance'; did you mean 'performance'?"),
    ("eval_loss < 1", 1, 'a logged metric is metric("eval_loss")'),
    ("score >= 0.8", 7, "of which: mean(score, last=100)"),
    ("success >= 0.8", 9, "of which: mean(success, last=100)"),
    ("NOT steps > 1", 1, "found 'NOT'; write not"),
    ("steps > 1 AND steps > 2", 11, "found 'AND'; write and"),
    ("(steps > 1", 11, "expected ')', found the end"),
    ("steps > 1)", 10, "found ')'"),
    ("()", 2, "expected a number or a term, found ')'"),
    ("and", 1, "unknown term 'and'"),
    ("steps > 1 and", 14, "found the end"),
    ("not", 4, "found the end"),
    ("80% > performance", 1, "'80%' is no number; write 0.8"),
    ("performance >= 80%", 16, "'80%' is no number; write 0.8"),
    ("performance >= 12m", 16, "'1' means nothing here"),
    ("performance >= 1e400", 16, "expected a finite number"),
    ("performance >= nan", 16, "unknown term 'nan'"),
    ("performance >= -x", 17, "expected a number, found 'x'"),
    ('performance >= "0.8"', 16, "expected a number or a term"),
    ("metric(loss) > 1", 8, "expected a metric's name in quotes"),
    ('metric("") > 1', 10, "the metric's name is empty"),
    ('metric("loss > 1', 8, "means nothing here"),
    ("metric > 1", 8, "expected '('"),
    ("mean(score) > 1", 11, "expected ',' as in mean(score, last=100)"),
    ("mean(score, 100) > 1", 13, "expected last=, found '100'"),
    ("mean(score, lost=100) > 1", 13, "expected last=, found 'lost'"),
    ("mean(score, last 100) > 1", 18, "expected '=', found '100'"),
    ("mean(score, last=0) > 1", 18, "last= must be a whole number from 1"),
    ("mean(score, last=1.5) > 1", 18, "last= must be a whole number from 1"),
    ("mean(score, last=-3) > 1", 18, "last= must be a whole number from 1"),
    ("mean(steps, last=3) > 1", 6, "unknown term 'steps'"),
    ("mean(mean(score, last=3), last=3) > 1", 6, "unknown term 'mean'"),
    ("mean(0.5, last=3) > 1", 6, "expected a series"),
    ("ema(score) > 1", 10, "expected ',' as in ema(series, smoothing)"),
    ("ema(score, 0) > 1", 12, "the smoothing must lie between 0 and 1"),
    ("ema(score, 1.5) > 1", 12, "the smoothing must lie between 0 and 1"),
    ("ema(score, 0.5, last=3) > 1", 15, "expected ')', found ','"),
    ("lower_bound(success, 1) > 1", 22, "the confidence must lie between 0 and 1"),
    ("lower_bound(success, 0.9, 50) > 1", 27, "expected last=, found '50'"),
    ("plateau(performance, less_than=1, over=2)", 22, "expected over="),
    ("plateau(performance, over=10)", 29, "expected ',' as in plateau(series, over=100k, less_than=0.01)"),
    ("plateau(performance, over=0, less_than=1)", 27, "over= must be a whole number from 1"),
    ("plateau(performance, over=10, less_than=0)", 41, "less_than= must be above 0"),
    ("plateau(performance, over=10, less_than=-1)", 41, "less_than= must be above 0"),
    ("plateau(performance, over=10, less_than=1) > 0", 44, "found '>'"),
    ("sustained(performance, for=20k)", 22, "expected a comparison"),
    ("sustained(performance > 1)", 26, "expected ','"),
    ("sustained(performance > 1, for=0.5)", 32, "for= must be a whole number from 1"),
    ("(" * 60 + "steps > 1" + ")" * 60, 51, "nested more than 50 deep"),
    ("not " * 60 + "steps > 1", 197, "nested more than 50 deep"),
]


@pytest.mark.parametrize(("criterion", "column", "said"), REFUSED, ids=[criterion[:40] for criterion, *_ in REFUSED])
def test_what_is_no_criterion_is_refused_with_its_column_and_the_reason(criterion: str, column: int, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^column {column}: .*{re.escape(said)}"):
        parse_condition(criterion)


@pytest.mark.parametrize("criterion", ["", "  ", None, 0.8, True, ["performance >= 0.8"], {"performance": 0.8}])
def test_a_criterion_is_text(criterion: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a criterion as text, as in 'performance >= 0\.8'"):
        parse_condition(criterion)


@given(st.text(max_size=40) | st.text("performance>=0.8() andornot,metric\"'", max_size=40))
def test_whatever_stands_there_it_is_read_or_refused_with_a_column(text: str) -> None:
    said = "column 1: "
    try:
        parse_condition(text)
    except ValueError as error:
        said = str(error)
    assert re.match(r"column \d+: ", said) or not text.strip()


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ({"advance_when": "performance > x"}, "stages.0.advance_when"),
        ({"next": [{"to": "end", "when": "performance > x"}]}, "stages.0.next"),
    ],
)
def test_a_recipe_is_told_where_the_criterion_stands_and_the_column(stage: dict[str, Any], path: str) -> None:
    with pytest.raises(CurriculumError, match=rf"{path}: (when: )?column 15: unknown term 'x'"):
        read_stages({"stages": [{"curriculum": "a", **stage}, "b"]})


@given(conditions)
def test_a_random_tree_written_read_and_written_is_the_same(tree: Any) -> None:
    once = parse_condition(text_of(tree))
    assert str(parse_condition(str(once))) == str(once)


# ── what and, or, not and comparisons mean, over what is there and what is not ──────────────────────────────────

VALUES: dict[str, float | None] = {"low": 0.25, "high": 0.75, "nothing": None}
SIGNS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
terms = st.one_of(
    st.sampled_from(list(VALUES)).map(lambda name: ("metric", name)),
    st.just(("counter", "steps")),
)
compared = st.tuples(st.just("compare"), terms, st.sampled_from(list(SIGNS)), st.sampled_from([0.25, 0.5, 7, 8])).map(
    lambda c: (c[0], c[1], c[2], ("number", c[3]))
)
trees = st.recursive(
    compared,
    lambda below: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), st.lists(below, min_size=2, max_size=4)),
        st.tuples(st.just("not"), below),
    ),
    max_leaves=12,
)


def meaning(tree: Any) -> set[bool]:
    """The truths that are possible, whatever the undefined comparisons turn out to be (Kleene's strong logic)."""
    match tree:
        case ("compare", ("counter", _), sign, ("number", number)):
            return {SIGNS[sign](7, number)}
        case ("compare", ("metric", name), sign, ("number", number)):
            value = VALUES[name]
            return {True, False} if value is None else {SIGNS[sign](value, number)}
        case ("not", below):
            return {not truth for truth in meaning(below)}
    joined = all if tree[0] == "and" else any
    below = [meaning(part) for part in tree[1]]
    return {joined(truths) for truths in itertools.product(*below)}


def truth_of(condition: Condition, values: dict[str, float | None] = VALUES) -> bool | None:
    evidence = Evidence(read_stages({"stages": ["a"]})[0], [condition])
    for name, value in values.items():
        if value is not None:
            evidence.add_metric(7, name, value)
    return Standing(evidence, 7, {"steps": 7, "total_steps": 7, "episodes": 0}).truth(condition)


@settings(max_examples=120)
@given(trees)
def test_a_random_tree_means_what_its_parts_mean(tree: Any) -> None:
    truths = meaning(tree)
    assert truth_of(parse_condition(text_of(tree))) == (truths.pop() if len(truths) == 1 else None)


@settings(max_examples=60)
@given(trees)
def test_and_binds_closer_than_or_and_not_closest_where_parentheses_do_not_say(tree: Any) -> None:
    bare = re.sub(r"[()]", "", text_of(tree).replace('metric("', "metric<").replace('")', ">"))
    bare = re.sub(r"metric<(\w+)>", r'metric("\1")', bare)
    python = re.sub(r'metric\("(\w+)"\)', r"\1", bare)  # Python binds alike, and reads the rest
    names = {"low": 0.25, "high": 0.75, "nothing": 0.5, "steps": 7}
    condition = parse_condition(bare)
    assert truth_of(condition, {**VALUES, "nothing": 0.5}) is eval(python, {"__builtins__": {}}, names)
