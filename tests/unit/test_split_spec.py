"""Parts of splits mean what they mean to `datasets`."""

import pytest
from datasets import NamedSplit, ReadInstruction
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mnist_idx.errors import IdxError
from mnist_idx.tools.split_spec import Part, parse_parts

SIZES = {"train": 60_000, "test": 150, "few": 7, "none": 0, "my.split_1": 99}


def parts_of_datasets(spec: object, sizes: dict[str, int]) -> list[Part] | None:
    """What `datasets` makes of a text; None if it refuses it."""
    try:
        found = ReadInstruction.from_spec(spec).to_absolute(sizes)
    except ValueError:
        return None
    # A part that stops before it starts is empty.
    return [Part(part.splitname, part.from_, max(part.from_, part.to)) for part in found]


def our_parts(spec: object, sizes: dict[str, int]) -> list[Part] | None:
    try:
        return parse_parts(spec, sizes)
    except IdxError as error:
        assert f"split={spec!r}"[:20] in str(error) or not str(spec).isprintable()
        return None


numbers = st.one_of(
    st.integers(-110, 110).map(str),
    st.integers(-70_000, 70_000).map(str),
    st.sampled_from(["", "0", "-0", "00", "1_0", "_1", "1_", "1__0", "-", "+1", "٣", "²", "1.5"]),
)
bounds = st.builds(str.__add__, numbers, st.sampled_from(["", "%"]))
ranges = st.builds("[{}:{}]".format, bounds, bounds)
roundings = st.sampled_from(
    ["", "", "", "(closest)", "(pct1_dropremainder)", "()", "(other)", " (closest)"]
)
names = st.sampled_from([*SIZES, "train", "test", "extra", "", "Train", "all", "train-1"])
texts = st.builds("{}{}{}".format, names, st.one_of(st.just(""), ranges), roundings)
separators = st.sampled_from(["+", " + ", "+ ", "\t+\n", "++", " ", ","])
spaces = st.sampled_from(["", "", "", " ", "\n"])


@st.composite
def specs(draw: st.DrawFn) -> str:
    text = draw(spaces) + draw(texts)
    for _ in range(draw(st.integers(0, 2))):
        text += draw(separators) + draw(texts)
    return text + draw(spaces)


@given(spec=specs() | st.text(alphabet="train.0159_-:%[]()+ \n", max_size=12))
@example("train[10%:20%]+train[30%:40%](pct1_dropremainder)")
@example("train+test[:10%](pct1_dropremainder)+train[:10%](closest)")
@example("train[:10%]+test+train[:10%](pct1_dropremainder)")
@example(" train")
@example("train ")
@example("train\n")
@example("train+\n")
@example("test[:50%](pct1_dropremainder)")
@example("few[:50%](pct1_dropremainder)")
@example("few[:](pct1_dropremainder)")
@example("few[5:2]")
@example("few[-100:100]")
@example("train[:1%")
@example("")
def test_a_text_means_the_same_or_is_refused_by_both(spec: str) -> None:
    assume(spec != "all")  # which `load_dataset` understands before it reads parts
    assert our_parts(spec, SIZES) == parts_of_datasets(spec, SIZES)


def test_all_means_each_split_whole() -> None:
    expected = [Part(name, 0, size) for name, size in SIZES.items()]
    assert our_parts("all", SIZES) == expected


@given(
    size=st.integers(0, 1000) | st.integers(0, 1 << 62),
    start=st.integers(-101, 101),
    stop=st.integers(-101, 101),
    rounding=st.sampled_from(["", "(closest)", "(pct1_dropremainder)"]),
)
@example(size=28_739_536_814_760_364, start=0, stop=9, rounding="")
def test_percents_of_any_size_are_the_same(size: int, start: int, stop: int, rounding: str) -> None:
    spec = f"a[{start}%:{stop}%]{rounding}"
    assert our_parts(spec, {"a": size}) == parts_of_datasets(spec, {"a": size})


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(NamedSplit("train"), id="name"),
        pytest.param(NamedSplit("test") + NamedSplit("train"), id="sum-of-names"),
        pytest.param(ReadInstruction("train", from_=5, to=-5, unit="abs"), id="numbers"),
        pytest.param(ReadInstruction("test", to=33, unit="%"), id="percents"),
        pytest.param(
            ReadInstruction("test", to=33, unit="%", rounding="pct1_dropremainder"), id="rounded"
        ),
        pytest.param(ReadInstruction("test") + ReadInstruction("few", from_=2), id="sum"),
        pytest.param(None, id="nothing"),
        pytest.param(7, id="number"),
        pytest.param(["train"], id="list"),
    ],
)
def test_objects_stand_for_their_text(spec: object) -> None:
    assert our_parts(spec, SIZES) == parts_of_datasets(spec, SIZES)


def test_the_error_lists_the_splits() -> None:
    expected = 'split=\'extra\': expected "a" or "b", or a part of one.'
    with pytest.raises(IdxError) as caught:
        parse_parts("extra", {"a": 1, "b": 2})
    assert str(caught.value) == expected
