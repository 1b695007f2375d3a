"""Replicas share accounts evenly, and move them only for that."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from exporter.state.sharing import Share, share

ACCOUNTS = ["", "asia", "eu", "us"]
NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1).map(tuple)
MANY = st.integers(0, 30).map(lambda number: [f"account-{n}" for n in range(number)])


def test_a_replica_alone_takes_everything() -> None:
    assert sorted(share("a", ["a"], ACCOUNTS, {}).take) == ACCOUNTS


def test_an_account_whose_holder_is_dead_is_free() -> None:
    assert share("a", ["a", "b"], ["eu", "us"], {"eu": "dead", "us": "b"}) == Share(("eu",))


def test_a_replica_takes_no_more_than_its_share() -> None:
    assert len(share("a", ["a", "b"], ACCOUNTS, {"eu": "a"}).take) == 1
    assert share("a", ["a", "b"], ACCOUNTS, {"eu": "a", "us": "a"}) == Share()


def test_a_replica_gives_up_one_of_too_many_but_only_once_none_is_free() -> None:
    holders = dict.fromkeys(ACCOUNTS, "a")
    assert share("a", ["a", "b"], ACCOUNTS, holders).give_up in ACCOUNTS
    assert share("a", ["a", "b"], ACCOUNTS, holders | {"eu": "dead"}) == Share()


def test_one_more_than_another_replica_is_even() -> None:
    assert share("a", ["a", "b"], ["eu", "us", "asia"], {"eu": "a", "us": "a", "asia": "b"}) == Share()


def test_an_account_that_is_no_longer_in_the_settings_is_given_up_at_once() -> None:
    assert share("a", ["a", "b"], ["eu"], {"old": "a", "eu": "b"}) == Share(give_up="old", at_once=True)


def test_a_replica_with_other_accounts_than_the_rest_takes_all_that_are_free_and_gives_up_none() -> None:
    assert len(share("a", ["a", "b"], ACCOUNTS, {"eu": "a"}, alike=False).take) == 3
    assert share("a", ["a", "b"], ACCOUNTS, dict.fromkeys(ACCOUNTS, "a"), alike=False) == Share()


@given(NAMES, NAMES, MANY, st.data())
def test_from_any_state_replicas_reach_an_even_one_and_stay_there(
    alive: tuple[str, ...], before: tuple[str, ...], accounts: list[str], data: st.DataObject
) -> None:
    owners = st.sampled_from([*before, *alive])
    holders = {account: data.draw(owners) for account in accounts if data.draw(st.booleans())}
    moves = 0
    for turn in range(4 * len(accounts) + 4):
        name = data.draw(st.sampled_from(alive)) if turn < 8 else alive[turn % len(alive)]
        decided = share(name, alive, accounts, holders)
        holders |= dict.fromkeys(decided.take, name)
        if decided.give_up is not None:
            moves += 1
            del holders[decided.give_up]
    for _ in range(len(accounts) + 2):
        for name in alive:
            decided = share(name, alive, accounts, holders)
            holders |= dict.fromkeys(decided.take, name)
            if decided.give_up is not None:
                del holders[decided.give_up]
    counts = Counter(dict.fromkeys(alive, 0))
    counts.update(holders.values())
    assert holders.keys() == set(accounts)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert [share(name, alive, accounts, holders) for name in alive] == [Share()] * len(alive)
