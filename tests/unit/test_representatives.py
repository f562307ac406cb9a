"""Which cases of a product of parameters the fast run has."""

from representatives import choose_representatives


def test_representatives_have_each_value_of_a_long_parameter_once() -> None:
    cases = []
    for mode in range(3):
        for form in range(6):
            cases.append({"mode": mode, "form": form})
    chosen = [cases[number] for number in choose_representatives(cases)]
    assert sorted(case["form"] for case in chosen) == [0, 1, 2, 3, 4, 5]
    assert sorted(case["mode"] for case in chosen) == [0, 0, 1, 1, 2, 2]
