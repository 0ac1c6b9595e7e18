"""What is written down in annotations comes back the same, and rubbish reads as nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.memory import (
    HISTORY_LIMIT,
    Active,
    Claim,
    Memory,
    Rejection,
    read_claim,
    read_memory,
    write_claim,
    write_memory,
)
from reconciler.core.model import PREFIX, Colour

moments = st.integers(1_600_000_000_000, 1_900_000_000_000).map(lambda ms: ms / 1000)
texts = st.text(max_size=30)
words = st.text(min_size=1, max_size=30)
actives = st.builds(Active, words, texts, st.sampled_from(Colour), texts, moments)
formers = st.builds(Active, words, texts, st.sampled_from(Colour), texts, moments, moments)
rejections = st.builds(Rejection, texts, texts, texts, texts, moments)
memories = st.builds(
    Memory,
    st.none() | actives,
    st.none() | moments,
    st.none() | rejections,
    st.lists(formers, max_size=HISTORY_LIMIT).map(tuple),
)


@given(memories)
def test_what_is_written_is_read_back(memory: Memory) -> None:
    assert read_memory(write_memory(memory)) == memory


@given(
    st.dictionaries(
        st.sampled_from(
            [PREFIX + key for key in ("active-since", "rejected", "history", "active-revision", "confirmed-at")]
        ),
        texts | st.sampled_from(["{}", "[1]", '[{"revision":1}]', '{"at":"x"}']),
    )
)
def test_rubbish_reads_as_nothing_and_never_raises(annotations: dict[str, str]) -> None:
    read_memory(annotations)


@given(words, moments)
def test_a_claim_is_read_back(commit: str, since: float) -> None:
    claim = Claim(commit, since)
    assert read_claim(write_claim(claim)) == claim


def test_a_switch_moves_the_old_one_into_a_bounded_history() -> None:
    memory = Memory()
    for number in range(15):
        memory = memory.switched(Active(f"r{number}", "v", Colour.BLUE, "c", float(number)))
    assert memory.active is not None
    assert memory.active.revision == "r14"
    assert [each.revision for each in memory.history] == [f"r{n}" for n in range(13, 3, -1)]
    assert memory.former("r13") is not None
    assert memory.history[0].until == 14.0


def test_a_switch_back_keeps_one_entry_for_each_revision() -> None:
    memory = Memory()
    for number, name in enumerate(["a", "b", "a", "b"]):
        memory = memory.switched(Active(name, "v", Colour.BLUE, "c", float(number)))
    assert [each.revision for each in memory.history] == ["a", "b"]


def test_a_long_reason_is_cut() -> None:
    memory = Memory(rejection=Rejection("r", "v", "c", "x" * 100_000, 1.0))
    assert sum(map(len, write_memory(memory).values())) < 2000
