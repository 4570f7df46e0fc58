"""A player's pockets: nine slots in reach, twenty-seven behind them, and the other hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from playloop.envs.craft.items import FIRST_TOOL, STACK

HOTBAR, SLOTS = 9, 36


@dataclass
class Inventory:
    """Items by slot; the first nine slots are the hotbar.

    Args:
        kinds: item number of each slot, 0 for none.
        counts: how many.
        selected: slot of the hand, 0 … 8.
        other: (kind, count) in the other hand.
    """

    kinds: list[int] = field(default_factory=lambda: [0] * SLOTS)
    counts: list[int] = field(default_factory=lambda: [0] * SLOTS)
    selected: int = 0
    other: tuple[int, int] = (0, 0)

    @property
    def held(self) -> int:
        """The item in the hand."""
        return self.kinds[self.selected]

    def count(self, item: int) -> int:
        """How many of an item there are in all slots."""
        return sum(count for kind, count in zip(self.kinds, self.counts, strict=True) if kind == item)

    def add(self, item: int, count: int = 1) -> int:
        """Put items where they fit, to their like first; returns how many did not fit."""
        most = STACK if item < FIRST_TOOL else 1
        for like in (item, 0):
            for slot in range(SLOTS):
                if count and self.kinds[slot] == like:
                    taken = min(count, most - self.counts[slot])
                    if taken:
                        self.kinds[slot] = item
                        self.counts[slot] += taken
                        count -= taken
        return count

    def take(self, slot: int) -> int:
        """Take one item out of a slot; 0 if it is empty."""
        item = self.kinds[slot]
        if item:
            self.counts[slot] -= 1
            if not self.counts[slot]:
                self.kinds[slot] = 0
        return item

    def swap_hands(self) -> None:
        """Exchange what the two hands hold."""
        slot, (kind, count) = self.selected, self.other
        self.other = self.kinds[slot], self.counts[slot]
        self.kinds[slot], self.counts[slot] = kind, count

    def fetch(self, item: int) -> None:
        """Take an item into the hand, if there is one in any slot."""
        if not item or item not in self.kinds:
            return
        slot = self.kinds.index(item)
        if slot < HOTBAR:
            self.selected = slot
            return
        for row in (self.kinds, self.counts):
            row[slot], row[self.selected] = row[self.selected], row[slot]
