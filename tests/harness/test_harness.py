# SPDX-License-Identifier: Apache-2.0
"""What the harness does when something fails: labs and programs that a test has started end with it."""
import pytest

from tests.harness import lab, proc


class Fake:
    """... whose start, or end, may fail."""

    def __init__(self, name, said, start=True, stop=True):
        self.name, self.said, self.starts, self.stops = name, said, start, stop

    def start(self):
        assert self.starts
        return self

    def __exit__(self, *_):
        self.said.append(self.name)
        assert self.stops


@pytest.mark.parametrize("how", [{}, {"stop": False}, {"start": False}], ids=["", "one does not end", "one does not start"])
def test_each_lab_that_was_made_is_taken_down(how, monkeypatch):
    monkeypatch.setattr(lab, "Lab", Fake)
    said = []
    try:
        with lab.made_labs() as (make, labs):
            for name, more in (("a", {}), ("b", how), ("c", {})):
                assert make(name, said, **more) is labs[-1]
    except AssertionError:
        assert how
    assert sorted(said) == (["a", "b"] if "start" in how else ["a", "b", "c"])


def test_a_program_beside_a_failure_ends_with_it():
    with pytest.raises(ZeroDivisionError):
        with proc.beside(["sleep", "1000"]) as child:
            assert 1 / 0
    assert child.returncode == -9
