"""Random criteria, recipes and streams of episodes for hypothesis.

A criterion is drawn as nested tuples and written out: the package parses the text, the naive one has the tuples.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from stagectl.curriculum import CurriculumEnd, StagedProgressiveCurriculum, StageTransition, read_stages
from stagectl.errors import CurriculumError, Fault

Operation = tuple[str, Any]

METRICS = ["loss", "eval/b rate"]
# no mean of few zeros and ones is one of these: how the two arithmetics round decides nothing
SHARES = ["0.1837", "0.3719", "0.4373", ".6151", "0.7433", "0.8817", "-0.2119"]


class Written(str):
    """A criterion as text, with the tree that it was written from."""

    tree: Any


def written(tree: Any) -> Written:
    text = Written(text_of(tree))
    text.tree = tree
    return text


def text_of(node: Any) -> str:
    """The criterion in the language; parentheses around whatever is joined."""
    match node:
        case ("compare", left, operator, right):
            return f"{text_of(left)} {operator} {text_of(right)}"
        case ("and" | "or" as word, parts):
            return f" {word} ".join(f"({text_of(part)})" for part in parts)
        case ("not", below):
            return f"not ({text_of(below)})"
        case ("plateau", series, over, less_than):
            return f"plateau({text_of(series)}, over={over}, less_than={less_than})"
        case ("sustained", below, steps):
            return f"sustained({text_of(below)}, for={steps})"
        case ("aggregate", function, series, last, parameter):
            own = "" if parameter is None else f", {parameter}"
            return f"{function}({text_of(series)}{own}{'' if last is None else f', last={last}'})"
        case ("metric", name):
            return f'metric("{name}")'
        case ("counter" | "number", value):
            return str(value)
    return str(node[0])


# ── criteria ────────────────────────────────────────────────────────────────────────────────────────────────────

shares = st.sampled_from(SHARES).map(lambda text: ("number", text))
counts = st.integers(0, 12).map(lambda n: ("number", n))
steps = st.integers(1, 200)
signs = st.sampled_from([">=", ">", "<=", "<", ">=", ">"])
series = st.one_of(
    st.just(("score",)), st.just(("performance",)), st.sampled_from(METRICS).map(lambda name: ("metric", name))
)
aggregates = st.one_of(
    st.tuples(
        st.just("aggregate"), st.sampled_from(["mean", "min", "max", "std"]), series, st.integers(1, 6), st.none()
    ),
    st.tuples(st.just("aggregate"), st.just("ema"), series, st.none(), st.sampled_from([0.05, 0.3, 0.123456789])),
    st.tuples(
        st.just("aggregate"),
        st.just("lower_bound"),
        st.sampled_from([("score",), ("metric", METRICS[1])]),
        st.one_of(st.none(), st.integers(1, 6)),
        st.sampled_from([0.6, 0.9, 0.95]),
    ),
)
measured = st.one_of(st.just(("performance",)), aggregates, st.sampled_from(METRICS).map(lambda name: ("metric", name)))
in_steps = st.tuples(
    st.sampled_from(["steps", "total_steps"]).map(lambda name: ("counter", name)),
    signs,
    st.integers(0, 250).map(lambda n: ("number", n)),
)
in_episodes = st.tuples(
    st.sampled_from(["episodes", "total_episodes", "visits"]).map(lambda name: ("counter", name)), signs, counts
)
comparisons = st.one_of(
    st.tuples(measured, signs, shares),
    st.tuples(shares, signs, measured),
    st.tuples(measured, signs, measured).filter(lambda c: c[0] != c[2]),
    in_steps,
    in_episodes,
).map(lambda c: ("compare", *c))
leaves = st.one_of(
    comparisons,
    comparisons,
    st.tuples(st.just("plateau"), series, st.integers(1, 150), st.sampled_from([0.0137, 0.2119, 0.7433])),
)
conditions: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda below: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), st.lists(below, min_size=2, max_size=3)),
        st.tuples(st.just("not"), below),
        st.tuples(st.just("sustained"), below, st.integers(1, 60)),
    ),
    max_leaves=5,
)
criteria = conditions.map(written)


# ── recipes ─────────────────────────────────────────────────────────────────────────────────────────────────────

TOPS = ["a", "a@1", "a#1", "a@1#2"]  # as a task's id may begin or end
thresholds = st.sampled_from([0.1837, 0.3719, 0.4373, 0.6151, 0.7433])
any_thresholds = st.one_of(
    thresholds,
    st.builds(lambda start, end, over: {"from": start, "to": end, "over": over}, thresholds, thresholds, steps),
    st.builds(lambda margin, over: {"below_best": margin, "over": over}, thresholds, st.integers(2, 100)),
)
smoothing = {
    "transition_smoothing": st.sampled_from([0.05, 0.1, 0.3, 0.5, 1.0]),
    "ema": st.sampled_from(["corrected", "zero_start"]),
    "min_episodes": st.integers(1, 5),
}


@st.composite
def when(draw: st.DrawFn) -> dict[str, Any]:
    """What says when a stage ends; nothing: what the curriculum says."""
    match draw(st.sampled_from(["", "performance", "time", "both", "either", "advance_when", "advance_when"])):
        case "":
            return {}
        case "advance_when":
            return {"advance_when": draw(criteria)}
        case "time":
            return {"transition_criteria": "time", "time_threshold_steps": draw(steps)}
        case "performance":
            return {"transition_criteria": "performance", "performance_threshold": draw(any_thresholds)}
        case both:
            return {
                "transition_criteria": both,
                "performance_threshold": draw(any_thresholds),
                "time_threshold_steps": draw(steps),
            }


@st.composite
def stages(draw: st.DrawFn, name: str, names: list[str]) -> dict[str, Any]:
    stage: dict[str, Any] = {"name": name, **draw(st.fixed_dictionaries({}, optional=smoothing)), **draw(when())}
    as_group = draw(st.integers(0, 3)) == 0
    if as_group:
        members = [f"{name}{at}" for at in range(1, draw(st.integers(1, 3)) + 1)]
        stage["parallel"] = [
            {
                "name": member,
                "curriculum": member,
                "weight": draw(st.sampled_from([1, 1, 0.5, 3])),
                **draw(st.fixed_dictionaries({}, optional=smoothing)),
                **draw(when()),
            }
            for member in members
        ]
        if draw(st.booleans()):
            stage["done"] = draw(st.sampled_from(["all", "any"]))
    else:
        stage["curriculum"] = name
    if draw(st.integers(0, 2)) == 0:
        stage["max_steps"] = draw(steps)
        anywhere = st.sampled_from(names).map(lambda to: {"goto": to})
        stage["on_timeout"] = draw(st.one_of(st.sampled_from(["advance", "stop", "fail"]), anywhere))
    if draw(st.integers(0, 3)) == 0:
        stage["max_visits"] = draw(st.integers(1, 3))
    others = [other for other in names if other != name]
    if not as_group and others and draw(st.integers(0, 2)) == 0:
        low = draw(st.sampled_from([{"below": 0.3719}, {"below": 0.6151}, {"margin": 0.2119}]))
        stage["demote"] = {"to": draw(st.sampled_from(others)), "patience": draw(st.integers(1, 60)), **low}
    if "advance_when" not in stage and draw(st.integers(0, 2)) == 0:
        to = st.sampled_from([*names, "end"])
        edges = [{"to": draw(to), "when": draw(criteria)} for _ in range(draw(st.integers(1, 2)))]
        following = [*names, "end"][names.index(name) + 1]
        stage["next"] = [*edges, {"to": following}]
    return stage


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """A `curriculum:` block that makes sense, with everything that a block may have."""
    names = TOPS[: draw(st.integers(1, 4))]
    shared = {
        "performance_threshold": draw(thresholds),
        "time_threshold_steps": draw(steps),
        **draw(st.fixed_dictionaries({}, optional=smoothing)),
    }
    if draw(st.booleans()):
        shared["transition_criteria"] = draw(st.sampled_from(["performance", "time", "both", "either"]))
    if draw(st.integers(0, 5)) == 0:
        shared["advance_when"] = draw(criteria)
    entries = [draw(stages(name, names)) for name in names]
    played = [m["name"] for entry in entries for m in entry.get("parallel", [entry])]
    for entry in entries:
        others = [name for name in played if name not in [m["name"] for m in entry.get("parallel", [entry])]]
        if others and draw(st.integers(0, 2)) == 0:
            chosen = draw(st.lists(st.sampled_from(others), min_size=1, max_size=2, unique=True))
            entry["rehearse"] = {name: draw(st.sampled_from([0.1, 0.25, 0.4])) for name in chosen}
    recipe = {**shared, "stages": entries}
    if draw(st.integers(0, 3)) == 0:
        recipe["start"] = draw(st.sampled_from(names))
    return without_what_makes_no_sense(recipe)


def without_what_makes_no_sense(recipe: dict[str, Any]) -> dict[str, Any]:
    """What has no effect is taken out, and loops are ended."""
    while True:
        try:
            read_stages(recipe)
        except CurriculumError as error:
            for fault in reversed(error.faults):
                mend(recipe, fault)
        else:
            return recipe


def mend(recipe: dict[str, Any], fault: Fault) -> None:
    if "in a loop" in fault.message:
        for stage in recipe["stages"]:
            stage["max_visits"] = 3
            if isinstance(stage.get("on_timeout"), dict):
                stage["on_timeout"] = "advance"
        return
    assert "so it has no effect" in fault.message or "is never taken" in fault.message, fault
    *above, key = fault.path
    node: Any = recipe
    for at in above:
        node = node[at]
    del node[key]


# ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────────

scores = st.one_of(st.sampled_from([0.0, 1.0, 1.0]), st.floats(0, 1), st.sampled_from([0.3, 0.6, 0.9]))
operations = st.one_of(
    st.tuples(st.just("play"), scores),
    st.tuples(st.just("play"), scores),
    st.tuples(st.just("play"), scores),
    st.tuples(st.just("steps"), st.integers(0, 60)),
    st.tuples(st.just("steps"), st.integers(1, 120)),
    st.tuples(st.just("late"), st.tuples(st.integers(0, 30), scores)),
    st.tuples(st.just("begin"), st.none()),
    st.tuples(st.just("by name"), st.tuples(st.sampled_from([*TOPS, "a1", "a@12", "nobody"]), scores)),
    st.tuples(st.just("metric"), st.tuples(st.sampled_from([*METRICS, "unasked"]), scores)),
)
rare = st.tuples(st.just("manual"), st.one_of(st.none(), st.sampled_from(TOPS)))
bursts = st.one_of(
    *[operations.map(lambda operation: [operation])] * 20,
    *[st.tuples(operations, st.integers(2, 8)).map(lambda pair: [pair[0]] * pair[1])] * 4,
    rare.map(lambda operation: [operation]),
)
streams = st.one_of(
    st.lists(bursts, max_size=12), st.lists(bursts, min_size=25, max_size=50), st.lists(bursts, min_size=35)
).map(lambda parts: [operation for part in parts for operation in part][:70])


class Player:
    """Plays operations on a curriculum. Tasks are held by id, and outlive the object that gave them."""

    def __init__(self, recipe: dict[str, Any], *, between: bool, kind: type = StagedProgressiveCurriculum) -> None:
        self.recipe, self.between, self.kind = recipe, between, kind
        self.curriculum: StagedProgressiveCurriculum = kind(**recipe)
        if between:
            self.curriculum.decide_between_steps()
        self.tasks: list[str] = []

    def begin(self) -> str:
        task = self.curriculum.get_task()
        self.tasks.append(task.id)
        return task.stage.name

    def named(self, name: str) -> str:
        """The name of a stage that is played, else one that is nobody's, and no id either."""
        return name if name in [stage.name for stage in self.curriculum.played] else "nobody"

    def play(self, operation: Operation) -> Any:
        kind, value = operation
        curriculum = self.curriculum
        match kind:
            case "steps":
                return curriculum.update_step_count(curriculum.total_steps + value)
            case "begin":
                self.begin()
            case "play":
                self.begin()
                return curriculum.complete_task(self.tasks[-1], value)
            case "late":
                position, score = value
                return curriculum.complete_task(self.tasks[position % len(self.tasks)] if self.tasks else "", score)
            case "by name":
                return curriculum.complete_task(self.named(value[0]), value[1])
            case "metric":
                curriculum.record_metrics(dict([value]))
            case "manual":
                known = value in [None, *[stage.name for stage in curriculum.stages]]
                if known and curriculum.end is None:
                    curriculum.request_stage(value)
        return None

    def restored(self) -> Player:
        """Another, from this one's state as a file would hold it."""
        again = Player(self.recipe, between=self.between, kind=self.kind)
        again.curriculum.load_state_dict(json.loads(json.dumps(self.curriculum.state_dict(), allow_nan=False)))
        again.tasks = list(self.tasks)
        return again


def plain(decision: Any) -> tuple[Any, ...] | None:
    match decision:
        case StageTransition(a, b, _, _, step, performance, reason, threshold):
            return (a, b, step, reason, performance, threshold)
        case CurriculumEnd(outcome, stage, _, step, performance, reason, threshold):
            return (outcome, stage, step, reason, performance, threshold)
    return None
