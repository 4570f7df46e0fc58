"""Which instruction encoder survives paraphrase: `python -m playloop.benchmarks.instructions`."""

from __future__ import annotations

import json
from typing import Any

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

PARAPHRASES = {
    0: ("put the can of alphabet soup into the basket", "drop the soup with letters in the basket"),
    1: ("grab the cream cheese box and put it inside the basket", "the cream cheese belongs in the basket"),
    3: (
        "take the barbecue sauce and set it down in the basket",
        "move the bottle of BBQ sauce to the basket",
    ),
    4: ("please get the ketchup bottle into the basket", "catsup into the basket, please"),
    5: (
        "lift the can of tomato sauce and drop it into the basket",
        "the tomato sauce should go in the basket",
    ),
    7: ("put the carton of milk in the basket", "could you carry the milk over to the basket?"),
    8: ("stow the chocolate dessert in the basket", "place the pudding in the basket"),
    9: ("put the OJ carton into the basket", "take the juice made of oranges and leave it in the basket"),
    10: (
        "take the dark bowl that stands between the ramekin and the plate and set it on the plate",
        "the black bowl in the middle of plate and ramekin goes onto the plate",
    ),
    11: (
        "grab the black bowl beside the ramekin and put it on the plate",
        "move the dark bowl close to the ramekin onto the plate",
    ),
    12: (
        "put the black bowl from the middle of the table on the plate",
        "take the bowl at the table's centre and set it on the plate",
    ),
    13: (
        "put the black bowl that is on top of the box of cookies on the plate",
        "lift the dark bowl off the cookie box and place it on the plate",
    ),
    14: (
        "take the bowl out of the cabinet's upper drawer and set it on the plate",
        "get the black bowl inside the top drawer and put it onto the plate",
    ),
    17: (
        "move the black bowl off the stove onto the plate",
        "take the dark bowl from the cooker and put it on the plate",
    ),
    19: (
        "fetch the black bowl from the top of the wooden cabinet and put it on the plate",
        "put the bowl standing on the cupboard onto the plate",
    ),
}
"""Number of an instruction → other ways to say it."""


def nearest_accuracy(encoder: InstructionEncoder) -> dict[str, Any]:
    """Share of paraphrases whose nearest instruction, by cosine, is the one that they say differently."""
    pairs = [(number, text) for number, texts in PARAPHRASES.items() for text in texts]
    similarity = encoder.encode([text for _, text in pairs]) @ encoder.encode(INSTRUCTIONS).T  # [pairs, 20]
    wrong = [
        f"{text} -> {INSTRUCTIONS[guess]}"
        for (number, text), guess in zip(pairs, similarity.argmax(1), strict=True)
        if guess != number
    ]
    return {"right": len(pairs) - len(wrong), "of": len(pairs), "wrong": wrong}


def main() -> None:
    """Print every encoder's accuracy as JSON."""
    encoders: dict[str, InstructionEncoder] = {
        "minilm": MiniLMConfig().make(),
        "ngrams": NGramsConfig().make(),
    }
    print(json.dumps({name: nearest_accuracy(encoder) for name, encoder in encoders.items()}, indent=1))


if __name__ == "__main__":
    main()
