from __future__ import annotations

import textwrap
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from racewindow import charts
from racewindow.errors import UsageError
from racewindow.frames import Row, Timeline

SHORT = Timeline(
    title="lost update",
    subtitle="two increments",
    tasks=("a", "b"),
    rows=(
        Row(step=0, task="a", label="v.read", state="v 0"),
        Row(step=1, task="b", label="v.read", preempted=True, state="v 0"),
        Row(step=2, task="b", label="v.write", notes=("wrote 1",), state="v 1"),
        Row(step=3, task="a", label="v.write", notes=("wrote 1",), state="v 1", violating=True),
    ),
    violation="lost-update: v is 1 after two increments",
    violating_step=3,
    replay="racewindow replay RW1.abc",
)

GOLDEN = """\
    lost update
    two increments

      step  a                  b                  files
      ----  -----------------  -----------------  -----
         0  v.read                                v 0
    >    1  |                  v.read
         2  |                  v.write <wrote 1>  v 1
    X    3  v.write <wrote 1>
            ^--- lost-update: certain here

    > switch: the task of the step before could have gone on
    violation  lost-update: v is 1 after two increments
    replay     racewindow replay RW1.abc"""


def many(tasks: int, label: str = "commit/archive.write") -> Timeline:
    rows = tuple(
        Row(
            step=step,
            task=f"background-{step % tasks}",
            label=label,
            notes=("accepted",),
            state=f"live m{step} | A1 m1",
        )
        for step in range(3 * tasks)
    )
    return Timeline(title="many tasks", rows=rows, replay="racewindow replay " + "x" * 300)


class TestText:
    def test_golden(self) -> None:
        """What a reader of a CI log sees."""
        assert charts.timeline_text(SHORT) == textwrap.dedent(GOLDEN)

    @pytest.mark.parametrize("width", [60, 80, 120])
    @pytest.mark.parametrize("tasks", [1, 3, 5, 12])
    def test_fits(self, width: int, tasks: int) -> None:
        """Every line fits, but for the replay line: a token that is broken cannot be copied."""
        lines = charts.timeline_text(many(tasks, label="commit/" + "deep." * 20), width=width).splitlines()
        replay = lines.pop()
        assert max(map(len, lines)) <= width
        assert replay.endswith("x" * 300)

    def test_every_step_and_note_is_told(self, told: Timeline) -> None:
        """Nothing gets lost on the way to the page."""
        text = charts.timeline_text(told)
        for row in told.rows:
            assert any(line.split()[:1] == [str(row.step)] or f" {row.step}  " in line for line in text.splitlines())
        for note in ("accepted", "completed", "completed seen", "reads m1"):
            assert f"<{note}>" in text
        assert "temp-b A1 m1" in text

    def test_a_task_that_waits_has_a_rail(self, told: Timeline) -> None:
        """Between its first and its last step a task is alive, and the page shows it."""
        line = next(line for line in charts.timeline_text(told).splitlines() if "reload/live.read" in line)
        assert line.rstrip().endswith("|")

    def test_no_violation(self) -> None:
        """A story without a fault says so."""
        fine = replace(SHORT, violation="", violating_step=None, rows=SHORT.rows[:2])
        text = charts.timeline_text(fine)
        assert "no violation" in text
        assert "X" not in text

    def test_no_steps(self) -> None:
        """An empty schedule is a story too."""
        assert "(no steps)" in charts.timeline_text(Timeline(title="nothing"))

    def test_too_narrow(self) -> None:
        """A width in which nothing can be read is refused."""
        with pytest.raises(UsageError, match="at least 60 columns, not 20"):
            charts.timeline_text(SHORT, width=20)


class TestSvg:
    def test_is_well_formed_and_named(self, told: Timeline) -> None:
        """It parses, has a title, and its description is the whole story as text."""
        root = ElementTree.fromstring(charts.timeline_svg(told))
        space = "{http://www.w3.org/2000/svg}"
        assert root.findtext(f"{space}title") == told.title
        assert root.findtext(f"{space}desc") == charts.timeline_text(told)
        assert root.get("role") == "img"
        shown = [text.text for text in root.iter(f"{space}text")]
        for row in told.rows:
            assert row.label in shown
        assert "✗ extracted-once" in shown

    def test_texts_stay_inside(self) -> None:
        """No text starts or ends outside the picture, as wide as monospaced letters are."""
        for timeline in (SHORT, many(1), many(5), Timeline(title="nothing " * 40), many(3, label="x" * 200)):
            root = ElementTree.fromstring(charts.timeline_svg(timeline))
            _, _, width, height = map(float, str(root.get("viewBox")).split())
            for text in root.iter("{http://www.w3.org/2000/svg}text"):
                begin = float(str(text.get("x"))) - (len(text.text or "") * 6.7 if text.get("text-anchor") else 0)
                assert begin >= 0
                if not text.get("text-anchor") and "s" not in str(text.get("class")).split():
                    assert begin + len(text.text or "") * 6.7 <= width + 1
                assert 0 <= float(str(text.get("y"))) <= height

    def test_escapes_labels(self) -> None:
        """Labels are data, not markup."""
        odd = replace(SHORT, title="<b>&", rows=(Row(step=0, task="a<", label="<script>", state="&", notes=("<i>",)),))
        drawn = charts.timeline_svg(odd)
        assert "<script>" not in drawn
        ElementTree.fromstring(drawn)

    def test_takes_the_colour_of_its_surroundings(self, told: Timeline) -> None:
        """Ink is currentColor; only the violation has a colour of its own."""
        drawn = charts.timeline_svg(told)
        assert 'fill="currentColor"' in drawn
        assert "#000" not in drawn

    def test_two_in_one_page_do_not_share_identifiers(self, told: Timeline) -> None:
        """Identifiers come from what is drawn."""
        one, two = (ElementTree.fromstring(charts.timeline_svg(each)) for each in (told, SHORT))
        names = [{element.get("id") for element in root.iter()} - {None} for root in (one, two)]
        assert names[0].isdisjoint(names[1])
