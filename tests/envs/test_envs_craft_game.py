import numpy as np
import pytest
from craft_worlds import AHEAD, FLOOR, flat_game, press, ticks_until

from playloop.envs.craft.blocks import ID
from playloop.envs.craft.game import SPRINT_VIEW
from playloop.envs.craft.inventory import HOTBAR
from playloop.envs.craft.items import ITEM

BEFORE = (AHEAD[0], AHEAD[1], AHEAD[2] - 1)


@pytest.mark.parametrize(
    ("block", "item", "ticks", "drop"),
    [
        ("log", None, 60, "log"),
        ("log", "wooden_axe", 30, "log"),
        ("log", "iron_axe", 10, "log"),
        ("log", "iron_pickaxe", 60, "log"),
        ("stone", None, 150, None),
        ("stone", "iron_axe", 150, None),
        ("stone", "wooden_pickaxe", 23, "cobblestone"),
        ("stone", "iron_pickaxe", 8, "cobblestone"),
        ("coal_ore", "stone_pickaxe", 23, "coal_ore"),
        ("grass", None, 18, "dirt"),
        ("dirt", "iron_shovel", 3, "dirt"),
        ("leaves", None, 6, None),
        ("red_wool", "iron_pickaxe", 24, "red_wool"),
    ],
)
def test_blocks_break_after_minecrafts_time(block, item, ticks, drop):
    game = flat_game(*([item] if item else []), blocks=[(AHEAD, block)])
    assert ticks_until(game, lambda: game.broken, "attack") == ticks
    assert game.broken == [ID[block]] and game.grid[AHEAD] == ID["air"]
    assert [lying.item for lying in game.drops] == ([ITEM[drop]] if drop else [])


@pytest.mark.parametrize("block", ["bedrock", "water"])
def test_some_blocks_never_break(block):
    game = flat_game(blocks=[(AHEAD, block)])
    press(game, "attack", ticks=200)
    assert game.grid[AHEAD] == ID[block] and game.digging is None


@pytest.mark.parametrize(("distance", "broken"), [(4, True), (5, False)])
def test_reach_is_four_and_a_half_blocks_from_the_eye(distance, broken):
    cell = (12, 5, 13 + distance)  # its face is half a block nearer than its number says
    game = flat_game(blocks=[(cell, "leaves")])
    press(game, "attack", ticks=20)
    assert (game.grid[cell] == 0) == broken


def test_cracks_grow_and_are_gone_after_letting_go():
    game = flat_game("iron_axe", blocks=[(AHEAD, "stone")])
    press(game, "attack", ticks=75)
    assert game.digging.cell == AHEAD and game.digging.progress == 0.5
    press(game)
    assert game.digging is None
    assert ticks_until(game, lambda: game.broken, "attack") == 150


def test_another_tool_or_another_block_begins_anew():
    game = flat_game("iron_axe", blocks=[(AHEAD, "stone"), ((11, 5, 14), "stone")])
    press(game, "attack", ticks=50)
    press(game, "attack", "hotbar.2")
    assert game.digging.ticks == 1
    press(game, "attack", ticks=9)
    press(game, "attack", yaw=30)
    assert game.digging.cell == (11, 5, 14) and game.digging.ticks == 1


def test_five_ticks_pass_between_two_blocks():
    game = flat_game(blocks=[(AHEAD, "leaves"), (BEFORE, "leaves")])
    assert ticks_until(game, lambda: game.broken, "attack") == 6
    assert ticks_until(game, lambda: game.broken, "attack") == 4 + 6


def test_what_broke_is_picked_up_after_ten_ticks():
    game = flat_game(blocks=[(BEFORE, "dirt")])
    ticks_until(game, lambda: game.broken, "attack")
    assert ticks_until(game, lambda: game.picked_up) == 9  # the tick in which it broke was the first
    assert game.picked_up == [ID["dirt"]] and game.inventory.count(ID["dirt"]) == 1 and not game.drops


def test_nothing_is_picked_up_from_afar_or_into_full_pockets():
    game = flat_game(blocks=[((12, 5, 16), "dirt")])
    ticks_until(game, lambda: game.broken, "attack")
    press(game, ticks=40)
    assert len(game.drops) == 1 and game.drops[0].position[1] == FLOOR
    full = flat_game(("stone", 36 * 64), blocks=[(BEFORE, "dirt")])
    ticks_until(full, lambda: full.broken, "attack")
    press(full, ticks=40)
    assert len(full.drops) == 1 and full.inventory.count(ID["dirt"]) == 0


def test_a_block_is_placed_before_the_face():
    game = flat_game(("red_wool", 2), blocks=[(AHEAD, "stone")])
    press(game, "use")
    assert game.grid[BEFORE] == ID["red_wool"] and game.inventory.count(ID["red_wool"]) == 1


def test_blocks_replace_water_only():
    game = flat_game("red_wool", blocks=[(AHEAD, "stone"), (BEFORE, "water")])
    press(game, "use")
    assert game.grid[BEFORE] == ID["red_wool"]


def test_a_held_button_places_every_four_ticks():
    game = flat_game(("red_wool", 9), blocks=[((12, 5, 16), "stone")])
    counts = []
    for _ in range(9):
        press(game, "use")
        counts.append(game.inventory.count(ID["red_wool"]))
    assert counts == [8, 8, 8, 8, 7, 7, 7, 7, 6]


def test_a_button_pressed_anew_places_at_once():
    game = flat_game(("red_wool", 9), blocks=[((12, 5, 16), "stone")])
    press(game, "use")
    press(game)
    press(game, "use")
    assert game.inventory.count(ID["red_wool"]) == 7


@pytest.mark.parametrize(("pitch", "placed"), [(90, False), (60, False), (40, True)])
def test_nothing_is_placed_into_the_own_body(pitch, placed):
    game = flat_game("red_wool", blocks=[((12, FLOOR, 13), "stone")])  # its side, then its top is hit
    press(game, "use", pitch=pitch)
    assert (game.inventory.held == 0) == placed
    assert (game.grid[12, FLOOR + 1, 13] == ID["red_wool"]) == placed


def test_a_block_fits_beside_the_feet_to_the_hair():
    for x, placed in ((12.69, True), (12.71, False)):  # half a body's width is 0.3
        game = flat_game("red_wool")
        game.body.position[:] = x, FLOOR, 12.5
        game.grid[14, FLOOR + 1, 12] = ID["stone"]
        press(game, "use", yaw=-90)
        assert (game.grid[13, FLOOR + 1, 12] == ID["red_wool"]) == placed


@pytest.mark.parametrize("item", [None, "iron_axe"])
def test_hands_and_tools_place_nothing(item):
    game = flat_game(*([item] if item else []), blocks=[(AHEAD, "stone")])
    press(game, "use", ticks=5)
    assert game.grid[BEFORE] == 0


def test_attack_comes_before_use():
    game = flat_game("red_wool", blocks=[(AHEAD, "stone")])
    press(game, "attack", "use", ticks=5)
    assert game.grid[BEFORE] == 0 and game.digging.ticks == 5


def test_number_keys_choose_a_slot():
    game = flat_game("iron_axe", "dirt")
    press(game, "hotbar.2")
    assert game.inventory.selected == 1 and game.inventory.held == ITEM["dirt"]
    press(game)
    assert game.inventory.selected == 1


def test_pick_item_takes_the_aimed_kind_into_the_hand():
    game = flat_game("iron_axe", "dirt", "stone", blocks=[(AHEAD, "stone")])
    press(game, "pickItem")
    assert game.inventory.selected == 2
    pockets = flat_game(*[(name, 64) for name in ["dirt"] * HOTBAR], "stone", blocks=[(AHEAD, "stone")])
    press(pockets, "hotbar.4")
    press(pockets, "pickItem")
    assert pockets.inventory.held == ID["stone"] and pockets.inventory.kinds[HOTBAR] == ID["dirt"]
    lacking = flat_game("dirt", blocks=[(AHEAD, "stone")])
    press(lacking, "pickItem")
    assert lacking.inventory.held == ID["dirt"]


def test_hands_are_swapped_once_a_press():
    game = flat_game(("dirt", 5))
    press(game, "swapHands", ticks=4)
    assert game.inventory.held == 0 and game.inventory.other == (ID["dirt"], 5)
    press(game)
    press(game, "swapHands")
    assert game.inventory.held == ID["dirt"] and game.inventory.other == (0, 0)


def test_a_dropped_item_flies_ahead_and_is_not_caught_at_once():
    game = flat_game(("dirt", 2), blocks=[((12, y, 13), "stone") for y in (FLOOR, FLOOR + 1)])
    press(game, "drop", ticks=3)
    assert game.inventory.count(ID["dirt"]) == 1 and len(game.drops) == 1
    [drop] = game.drops
    assert drop.position[2] > 12.8 and abs(drop.position[0] - 12.5) < 0.01
    assert ticks_until(game, lambda: game.picked_up) == 40 - 3
    assert game.inventory.count(ID["dirt"]) == 2


def test_the_open_inventory_stops_keys_and_view():
    game = flat_game("dirt", blocks=[(AHEAD, "log")])
    press(game, "inventory", ticks=3)
    assert game.screen_open
    place = game.body.position.copy()
    press(game, "forward", "attack", "hotbar.3", "drop", ticks=5, yaw=20)
    assert np.array_equal(game.body.position, place) and game.body.yaw == 0
    assert game.digging is None and game.inventory.selected == 0 and not game.drops
    press(game, "inventory")
    press(game, "forward", ticks=5, yaw=20)
    assert not game.screen_open and game.body.yaw == 20 and game.body.position[2] > place[2] + 0.3


def test_sprinting_widens_the_view():
    game = flat_game()
    press(game, "forward", ticks=10)
    assert game.view == pytest.approx(1.0)
    press(game, "forward", "sprint", ticks=10)
    assert game.view == pytest.approx(SPRINT_VIEW, abs=1e-3)
    press(game, "back", "sprint", ticks=10)
    assert game.view == pytest.approx(1.0, abs=1e-3)


def test_vectors_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\[25\]"):
        flat_game().tick(np.zeros(24, np.float32))
