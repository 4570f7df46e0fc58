"""Which instruction encoder survives paraphrase."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import MinLen
from rich.table import Table

from playloop.core.checked import checked
from playloop.tokenizers.instructions import InstructionEncoder, MiniLMConfig, NGramsConfig

OBJECTS = (
    "alphabet soup",
    "cream cheese",
    "salad dressing",
    "bbq sauce",
    "ketchup",
    "tomato sauce",
    "butter",
    "milk",
    "chocolate pudding",
    "orange juice",
)

PLACES = (
    "between the plate and the ramekin",
    "next to the ramekin",
    "from table center",
    "on the cookie box",
    "in the top drawer of the wooden cabinet",
    "on the ramekin",
    "next to the cookie box",
    "on the stove",
    "next to the plate",
    "on the wooden cabinet",
)

INSTRUCTIONS = (
    *(f"pick up the {thing} and place it in the basket" for thing in OBJECTS),
    *(f"pick up the black bowl {place} and place it on the plate" for place in PLACES),
)
"""The instructions of libero_object and libero_spatial."""

PARAPHRASES = """
0 put the can of alphabet soup into the basket
0 drop the soup with letters in the basket
1 grab the cream cheese box and put it inside the basket
1 the cream cheese belongs in the basket
3 take the barbecue sauce and set it down in the basket
3 move the bottle of BBQ sauce to the basket
4 please get the ketchup bottle into the basket
4 catsup into the basket, please
5 lift the can of tomato sauce and drop it into the basket
5 the tomato sauce should go in the basket
7 put the carton of milk in the basket
7 could you carry the milk over to the basket?
8 stow the chocolate dessert in the basket
8 place the pudding in the basket
9 put the OJ carton into the basket
9 take the juice made of oranges and leave it in the basket
10 take the dark bowl that stands between the ramekin and the plate and set it on the plate
10 the black bowl in the middle of plate and ramekin goes onto the plate
11 grab the black bowl beside the ramekin and put it on the plate
11 move the dark bowl close to the ramekin onto the plate
12 put the black bowl from the middle of the table on the plate
12 take the bowl at the table's centre and set it on the plate
13 put the black bowl that is on top of the box of cookies on the plate
13 lift the dark bowl off the cookie box and place it on the plate
14 take the bowl out of the cabinet's upper drawer and set it on the plate
14 get the black bowl inside the top drawer and put it onto the plate
17 move the black bowl off the stove onto the plate
17 take the dark bowl from the cooker and put it on the plate
19 fetch the black bowl from the top of the wooden cabinet and put it on the plate
19 put the bowl standing on the cupboard onto the plate
"""
"""A line each: the number of an instruction, and another way to say it."""


def nearest_accuracy(encoder: InstructionEncoder) -> dict[str, Any]:
    """Share of paraphrases whose nearest instruction, by cosine, is the one that they say differently."""
    numbers, texts = zip(*(line.split(" ", 1) for line in PARAPHRASES.strip().splitlines()), strict=True)
    similarity = encoder.encode(texts) @ encoder.encode(INSTRUCTIONS).T  # [pairs, 20]
    wrong = [
        f"{text} -> {INSTRUCTIONS[guess]}"
        for number, text, guess in zip(numbers, texts, similarity.argmax(1), strict=True)
        if guess != int(number)
    ]
    return {"right": len(texts) - len(wrong), "of": len(texts), "wrong": wrong}


@checked
class InstructionsBench:
    """The share of paraphrases that lie nearest to their own instruction, by each encoder.

    `run()` gives the numbers, `table(numbers)` shows them.

    Args:
        encoders: which.
    """

    encoders: Annotated[tuple[Literal["minilm", "ngrams"], ...], MinLen(1)] = ("minilm", "ngrams")

    def run(self) -> dict[str, Any]:
        """Encoder \u2192 how many of how many are right, and the others."""
        made = {"minilm": MiniLMConfig, "ngrams": NGramsConfig}
        return {name: nearest_accuracy(made[name]().make()) for name in self.encoders}

    @staticmethod
    def table(report: dict[str, Any]) -> Table:
        """The numbers as a table for the terminal."""
        table = Table("encoder", "right", "share", title="paraphrases nearest to their own instruction")
        for name, found in report.items():
            table.add_row(name, f"{found['right']} / {found['of']}", f"{found['right'] / found['of']:.0%}")
        return table
