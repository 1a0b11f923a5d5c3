"""Knockouts of many questions side by side, so that a round of all of them is one call.

A match is a comparison in both orders, against the judge's preference for a place. (V1-PairRL, arXiv
2603.04304, scales a pairwise self-verifier by tournaments too.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spark_lab.evaluation.judge import PAIR_FORM, pair_item
from spark_lab.evaluation.test_time.asking import Asker, Reply
from spark_lab.evaluation.test_time.choosing import Bracket, Places
from spark_lab.prompts import LABELS, TemplateSet
from spark_lab.records import Group

Match = tuple[int, int, int]
"""The group, and the places of two answers in it, the smaller one first."""


@dataclass(slots=True)
class Tournament:
    """One bracket over some of the answers of a group, and the tokens of its matches."""

    group: int
    bracket: Bracket
    tokens: int = 0


def play(
    entered: Sequence[tuple[int, Places]],
    groups: Sequence[Group],
    asker: Asker,
    templates: TemplateSet,
) -> list[Tournament]:
    """A tournament for each (group, places); a pair that meets in several is asked about once."""
    tournaments = [Tournament(group, Bracket(places)) for group, places in entered]
    played: dict[Match, tuple[Reply, Reply]] = {}
    while any(one.bracket.matches() for one in tournaments):
        due = {
            (one.group, *sorted(pair)): None
            for one in tournaments
            for pair in one.bracket.matches()
        }
        new = [match for match in due if match not in played]
        items = [
            pair_item(group.question, group.rollouts[first], group.rollouts[second], templates)
            for index, low, high in new
            for group in (groups[index],)
            for first, second in ((low, high), (high, low))
        ]
        replies = iter(asker.ask(items))
        played |= {match: (next(replies), next(replies)) for match in new}
        for one in tournaments:
            _advance(one, played)
    return tournaments


def _advance(tournament: Tournament, played: dict[Match, tuple[Reply, Reply]]) -> None:
    wins = []
    for pair in tournament.bracket.matches():
        low, high = sorted(pair)
        replies = played[tournament.group, low, high]
        tournament.tokens += sum(reply.completion.tokens for reply in replies)
        won = dict(zip((low, high), _wins(*replies), strict=True))
        wins.append((won[pair[0]], won[pair[1]]))
    tournament.bracket.advance(wins)


def _wins(straight: Reply, swapped: Reply) -> tuple[int, int]:
    """How often the first and the second answer were chosen; an unreadable choice is for none."""
    a, b = LABELS[PAIR_FORM]
    said = (straight.verdict.answer, swapped.verdict.answer)
    return (said[0] == a) + (said[1] == b), (said[0] == b) + (said[1] == a)
