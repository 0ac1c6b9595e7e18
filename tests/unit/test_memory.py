"""What is written down in annotations comes back the same, and rubbish reads as nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.delivered import Delivered
from reconciler.core.memory import (
    HISTORY_LIMIT,
    Active,
    Claim,
    Doom,
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
names = st.text("abc123", min_size=1, max_size=10)
more = {"committed": st.none() | moments, "failed": st.booleans(), "rollback": st.booleans()}
actives = st.builds(Active, words, texts, st.sampled_from(Colour), texts, moments, **more)
formers = st.builds(Active, words, texts, st.sampled_from(Colour), texts, moments, moments, **more)
rejections = st.builds(Rejection, texts, texts, texts, texts, moments)
memories = st.builds(
    Memory,
    st.none() | actives,
    st.none() | moments,
    st.none() | rejections,
    st.lists(formers, max_size=HISTORY_LIMIT).map(tuple),
    st.frozensets(st.builds(Doom, names, names), max_size=3),
    st.frozensets(st.sampled_from(["v1/ServiceAccount", "policy/v1/PodDisruptionBudget", "example.com/v1/Service"])),
    st.lists(st.builds(Delivered, moments, st.none() | moments), max_size=3).map(tuple),
)


@given(memories, actives)
def test_a_switch_keeps_the_inventory(memory: Memory, to: Active) -> None:
    assert memory.switched(to).inventory == memory.inventory


@given(memories)
def test_what_is_written_is_read_back(memory: Memory) -> None:
    assert read_memory(write_memory(memory)) == memory


@given(
    st.dictionaries(
        st.sampled_from(
            [
                PREFIX + key
                for key in (
                    *("active-since", "rejected", "history", "active-revision", "confirmed-at"),
                    *("active-committed", "active-failed", "active-rollback", "deployments"),
                )
            ]
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
    last = HISTORY_LIMIT + 4
    for number in range(last + 1):
        memory = memory.switched(Active(f"r{number}", "v", Colour.BLUE, "c", float(number)))
    assert memory.active is not None
    assert memory.active.revision == f"r{last}"
    assert [each.revision for each in memory.history] == [f"r{n}" for n in range(last - 1, 3, -1)]
    assert memory.former(f"r{last - 1}") is not None
    assert memory.history[0].until == float(last)


def test_one_unreadable_former_revision_does_not_take_the_others_along() -> None:
    memory = Memory(
        history=(Active("a", "v", Colour.BLUE, "c", 1.0, 2.0), Active("b", "v", Colour.GREEN, "c", 0.0, 1.0))
    )
    written = write_memory(memory)
    written[PREFIX + "history"] = written[PREFIX + "history"].replace('"since":1.0', '"since":"never"')
    assert [each.revision for each in read_memory(written).history] == ["b"]


def test_what_is_absent_is_written_as_such() -> None:
    """Not merely left out: server-side apply would leave it, where somebody else owns it too."""
    assert set(write_memory(Memory()).values()) == {""}
    assert read_memory(write_memory(Memory())) == Memory()


def test_a_switch_back_keeps_one_entry_for_each_former_revision() -> None:
    memory = Memory()
    for number, name in enumerate(["a", "b", "a", "b"]):
        memory = memory.switched(Active(name, "v", Colour.BLUE, "c", float(number)))
    assert [each.revision for each in memory.history] == ["a"]


def test_a_long_reason_is_cut() -> None:
    memory = Memory(rejection=Rejection("r", "v", "c", "x" * 100_000, 1.0))
    assert sum(map(len, write_memory(memory).values())) < 2000
